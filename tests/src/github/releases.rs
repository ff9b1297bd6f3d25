//! Releases and their assets: <https://docs.github.com/rest/releases>.

use super::http::{Answer, Request};
use super::state::{Asset, Release, State};
use super::{Access, Hosts, page};
use serde_json::{Value, json};
use updater_format::Sha256;

pub(super) fn answer(hosts: Hosts, access: Access, request: &Request, parts: &[&str], state: &mut State) -> Answer {
    let base = format!("http://{}/repos/owner/app/releases", hosts.api);
    let id = |text: &str| text.parse::<u64>().unwrap_or(0);
    match (request.method.as_str(), parts) {
        ("GET", []) => {
            // "Only users with push access will receive listings for draft releases."
            let sees = |release: &Release| !release.draft || access == Access::Writes;
            let newest = state.releases.iter().rev().filter(|(_, release)| sees(release));
            let listed: Vec<Value> = newest.map(|(id, release)| shown(hosts, *id, release)).collect();
            page(request, &base, &listed)
        }
        ("POST", []) => create(hosts, request, state),
        // "Get a published release with the specified tag."
        ("GET", ["tags", tag]) => match state.releases.iter().find(|(_, r)| r.tag == *tag && !r.draft) {
            Some((id, release)) => Answer::json(200, &shown(hosts, *id, release)),
            None => Answer::error(404, "Not Found"),
        },
        ("GET", ["assets", asset]) => get_asset(hosts, access, request, id(asset), state),
        ("DELETE", ["assets", asset]) => delete_asset(id(asset), state),
        ("GET", [release, "assets"]) => match state.releases.get(&id(release)) {
            Some(found) if !found.draft || access == Access::Writes => {
                let listed: Vec<Value> =
                    found.assets.iter().map(|(id, asset)| shown_asset(hosts, *id, asset)).collect();
                page(request, &format!("{base}/{release}/assets"), &listed)
            }
            _ => Answer::error(404, "Not Found"),
        },
        ("PATCH", [release]) => update(hosts, request, id(release), state),
        ("DELETE", [release]) => match state.releases.remove(&id(release)) {
            Some(removed) => {
                if removed.immutable {
                    state.burned.insert(removed.tag);
                }
                Answer::bytes(204, Vec::new())
            }
            None => Answer::error(404, "Not Found"),
        },
        _ => Answer::error(404, "Not Found"),
    }
}

/// <https://docs.github.com/rest/releases/releases#create-a-release>: 201; 422 for what does not validate.
fn create(hosts: Hosts, request: &Request, state: &mut State) -> Answer {
    let body = request.json();
    let Some(tag) = body["tag_name"].as_str().filter(|tag| !tag.is_empty()) else {
        return refused("Release", "missing_field", "tag_name");
    };
    let draft = body["draft"].as_bool().unwrap_or(false);
    // https://docs.github.com/code-security/concepts/supply-chain-security/immutable-releases: tags are never used again.
    if state.burned.contains(tag) {
        return custom("Release", "tag_name was used by an immutable release");
    }
    if !draft && state.releases.values().any(|release| release.tag == tag && !release.draft) {
        return refused("Release", "already_exists", "tag_name");
    }
    let target = body["target_commitish"].as_str().unwrap_or("main").to_owned();
    if state.refs.contains_key(&format!("heads/{target}")) || state.commits.contains_key(&target) {
        let release = Release {
            tag: tag.to_owned(),
            draft,
            prerelease: body["prerelease"].as_bool().unwrap_or(false),
            immutable: false,
            target,
            assets: Default::default(),
        };
        let id = state.id();
        state.releases.insert(id, release);
        if !draft {
            publish(id, state);
        }
        return Answer::json(201, &shown(hosts, id, &state.releases[&id]));
    }
    refused("Release", "invalid", "target_commitish")
}

/// <https://docs.github.com/rest/releases/releases#update-a-release>
fn update(hosts: Hosts, request: &Request, id: u64, state: &mut State) -> Answer {
    let Some(release) = state.releases.get(&id).cloned() else { return Answer::error(404, "Not Found") };
    let body = request.json();
    if body["draft"] == false && release.draft {
        let other = |(known, other): (&u64, &Release)| *known != id && other.tag == release.tag && !other.draft;
        if state.releases.iter().any(other) {
            return refused("Release", "already_exists", "tag_name");
        }
        if state.burned.contains(&release.tag) {
            return custom("Release", "tag_name was used by an immutable release");
        }
        publish(id, state);
    } else if body["draft"] == true && release.immutable {
        return custom("Release", "Cannot change an immutable release");
    }
    Answer::json(200, &shown(hosts, id, &state.releases[&id]))
}

/// Publishing makes the tag of the target where there is none, and the release immutable where that is switched on.
fn publish(id: u64, state: &mut State) {
    let immutable = state.makes_immutable;
    let Some(release) = state.releases.get_mut(&id) else { return };
    (release.draft, release.immutable) = (false, immutable);
    let (name, target) = (format!("tags/{}", release.tag), release.target.clone());
    let commit = state.refs.get(&format!("heads/{target}")).cloned().unwrap_or(target);
    state.refs.entry(name).or_insert(commit);
}

/// <https://docs.github.com/rest/releases/assets#upload-a-release-asset>
pub(super) fn upload(hosts: Hosts, access: Access, request: &Request, state: &mut State) -> Answer {
    match access {
        Access::Writes => {}
        Access::Reads => return Answer::error(403, "Resource not accessible by integration"),
        Access::Nobody => return Answer::error(401, "Requires authentication"),
    }
    let id = release_of(request);
    let Some(release) = state.releases.get(&id).filter(|_| request.method == "POST") else {
        return Answer::error(404, "Not Found");
    };
    // "Most libraries will set the required Content-Length header automatically. Use the required Content-Type header."
    if request.header("content-type").is_none() || request.header("content-length").is_none() {
        return Answer::error(400, "Bad Content-Length or Content-Type");
    }
    let Some(name) = request.query("name").filter(|name| !name.is_empty()).map(renamed) else {
        return refused("ReleaseAsset", "missing_field", "name");
    };
    if release.immutable {
        return custom("ReleaseAsset", "Cannot upload assets to an immutable release.");
    }
    // "If you upload an asset with the same filename as another uploaded asset, you'll receive an error and must delete the
    // old file before you can re-upload the new asset."
    if release.assets.values().any(|asset| asset.name == name) {
        return refused("ReleaseAsset", "already_exists", "name");
    }
    let asset = Asset { name, state: "uploaded", bytes: request.body.clone() };
    let new = state.id();
    let answer = Answer::json(201, &shown_asset(hosts, new, &asset));
    if let Some(release) = state.releases.get_mut(&id) {
        release.assets.insert(new, asset);
    }
    answer
}

/// "When an upstream failure occurs, you will receive a 502 Bad Gateway status. This may leave an empty asset with a state of
/// starter. It can be safely deleted."
pub(super) fn leave_starter(request: &Request, state: &mut State) {
    let (id, new) = (release_of(request), state.id());
    if let (Some(release), Some(name)) = (state.releases.get_mut(&id), request.query("name")) {
        release.assets.insert(new, Asset { name: renamed(name), state: "starter", bytes: Vec::new() });
    }
}

/// "GitHub renames asset filenames that have special characters, non-alphanumeric characters, and leading or trailing
/// periods."
fn renamed(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '.' };
    name.chars().map(plain).collect::<String>().trim_matches('.').to_owned()
}

/// <https://docs.github.com/rest/releases/assets#get-a-release-asset>: "The API will either redirect the client to the
/// location, or stream it directly if possible."
fn get_asset(hosts: Hosts, access: Access, request: &Request, id: u64, state: &State) -> Answer {
    let found = state.releases.values().find(|release| release.assets.contains_key(&id));
    let Some(release) = found.filter(|release| !release.draft || access == Access::Writes) else {
        return Answer::error(404, "Not Found");
    };
    if request.header("accept") == Some("application/octet-stream") {
        return Answer::bytes(302, Vec::new()).with("location", &format!("http://{}/signed/{id}?sig=x", hosts.assets));
    }
    Answer::json(200, &shown_asset(hosts, id, &release.assets[&id]))
}

/// <https://docs.github.com/rest/releases/assets#delete-a-release-asset>: 204.
fn delete_asset(id: u64, state: &mut State) -> Answer {
    match state.releases.values_mut().find(|release| release.assets.contains_key(&id)) {
        None => Answer::error(404, "Not Found"),
        Some(release) if release.immutable => custom("ReleaseAsset", "Cannot delete assets of an immutable release"),
        Some(release) => {
            release.assets.remove(&id);
            Answer::bytes(204, Vec::new())
        }
    }
}

/// The host that files come from: it knows who may read by the address alone, and refuses who shows a token besides.
pub(super) fn content(request: &Request, state: &State) -> Answer {
    if request.header("authorization").is_some() {
        return Answer::error(400, "Only one auth mechanism allowed");
    }
    let id = request.path.strip_prefix("/signed/").and_then(|id| id.parse::<u64>().ok());
    let asset = id.and_then(|id| state.releases.values().find_map(|release| release.assets.get(&id)));
    match asset.filter(|asset| asset.state == "uploaded" && request.query("sig") == Some("x")) {
        Some(asset) => Answer::bytes(200, asset.bytes.clone()),
        None => Answer::error(404, "Not Found"),
    }
}

/// What `https://github.com/OWNER/REPO/releases/download/TAG/NAME` does for everybody: a redirect for a published release.
pub(super) fn download(hosts: Hosts, request: &Request, state: &State) -> Answer {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let ["owner", "app", "releases", "download", tag, name] = parts[..] else {
        return Answer::bytes(404, b"<html>not here</html>".repeat(400));
    };
    let release = state.releases.values().find(|release| release.tag == tag && !release.draft && !state.is_private);
    match release.and_then(|release| release.assets.iter().find(|(_, asset)| asset.name == name)) {
        Some((id, _)) => {
            Answer::bytes(302, Vec::new()).with("location", &format!("http://{}/signed/{id}?sig=x", hosts.assets))
        }
        None => Answer::bytes(404, b"<html>not here</html>".repeat(400)),
    }
}

fn release_of(request: &Request) -> u64 {
    let path = request.path.strip_prefix("/repos/owner/app/releases/").and_then(|rest| rest.strip_suffix("/assets"));
    path.and_then(|id| id.parse().ok()).unwrap_or(0)
}

fn shown(hosts: Hosts, id: u64, release: &Release) -> Value {
    json!({
        "id": id, "tag_name": release.tag, "draft": release.draft, "prerelease": release.prerelease,
        "immutable": release.immutable, "target_commitish": release.target,
        "upload_url": format!("http://{}/repos/owner/app/releases/{id}/assets{{?name,label}}", hosts.uploads),
    })
}

fn shown_asset(hosts: Hosts, id: u64, asset: &Asset) -> Value {
    let digest = (asset.state == "uploaded").then(|| format!("sha256:{}", Sha256::of(&asset.bytes)));
    json!({
        "id": id, "name": asset.name, "state": asset.state, "size": asset.bytes.len(), "digest": digest,
        "url": format!("http://{}/repos/owner/app/releases/assets/{id}", hosts.api),
    })
}

fn refused(resource: &str, code: &str, field: &str) -> Answer {
    let errors = json!([{"resource": resource, "code": code, "field": field}]);
    Answer::json(422, &json!({"message": "Validation Failed", "errors": errors, "status": "422"}))
}

fn custom(resource: &str, message: &str) -> Answer {
    let errors = json!([{"resource": resource, "code": "custom", "message": message}]);
    Answer::json(422, &json!({"message": "Validation Failed", "errors": errors, "status": "422"}))
}
