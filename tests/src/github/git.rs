//! The git data API: <https://docs.github.com/rest/git>.

use super::http::{Answer, Request};
use super::state::{Node, State};
use serde_json::{Value, json};

pub(super) fn answer(request: &Request, parts: &[&str], state: &mut State) -> Answer {
    // https://docs.github.com/rest/git/trees, /commits, /refs: 409 where there is no commit at all.
    if state.refs.is_empty() {
        return Answer::error(409, "Git Repository is empty.");
    }
    match (request.method.as_str(), parts) {
        ("GET", ["ref", rest @ ..]) => reference(request, &rest.join("/"), state),
        ("POST", ["refs"]) => create_reference(request, state),
        ("PATCH", ["refs", rest @ ..]) => update_reference(request, &rest.join("/"), state),
        ("GET", ["commits", sha]) => match state.commits.get(*sha) {
            Some(commit) => Answer::json(200, &json!({"sha": sha, "tree": {"sha": commit.tree}})),
            None => Answer::error(404, "Not Found"),
        },
        ("POST", ["commits"]) => create_commit(request, state),
        ("GET", ["trees", sha]) => tree(sha, state),
        ("POST", ["trees"]) => create_tree(request, state),
        ("GET", ["blobs", sha]) => blob(request, sha, state),
        ("POST", ["blobs"]) => create_blob(request, state),
        _ => Answer::error(404, "Not Found"),
    }
}

/// <https://docs.github.com/rest/git/refs#get-a-reference>: "If the :ref doesn't match an existing ref, a 404 is returned."
/// <https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate>
fn reference(request: &Request, name: &str, state: &State) -> Answer {
    let Some(sha) = state.refs.get(name) else { return Answer::error(404, "Not Found") };
    let etag = format!("W/\"{sha}\"");
    if request.header("if-none-match") == Some(etag.as_str()) {
        return Answer::bytes(304, Vec::new()).with("etag", &etag);
    }
    Answer::json(200, &json!({"ref": format!("refs/{name}"), "object": {"type": "commit", "sha": sha}}))
        .with("etag", &etag)
}

/// <https://docs.github.com/rest/git/refs#create-a-reference>: "The name of the fully qualified reference (ie:
/// refs/heads/master). If it doesn't start with 'refs' and have at least two slashes, it will be rejected."
fn create_reference(request: &Request, state: &mut State) -> Answer {
    let body = request.json();
    let (Some(name), Some(sha)) = (body["ref"].as_str(), body["sha"].as_str()) else {
        return Answer::error(422, "Invalid request. \"ref\" or \"sha\" wasn't supplied.");
    };
    let Some(short) = name.strip_prefix("refs/").filter(|short| short.contains('/')) else {
        return Answer::error(422, "Reference name must start with 'refs/' and have at least two slashes");
    };
    if !state.commits.contains_key(sha) {
        return Answer::error(422, "Object does not exist");
    }
    if state.refs.contains_key(short) {
        return Answer::error(422, "Reference already exists");
    }
    state.refs.insert(short.to_owned(), sha.to_owned());
    if state.builds_on_push {
        state.build_pages();
    }
    Answer::json(201, &json!({"ref": name, "object": {"sha": sha}}))
}

/// <https://docs.github.com/rest/git/refs#update-a-reference>: "Indicates whether to force the update or to make sure the
/// update is a fast-forward update. Leaving this out or setting it to false will make sure you're not overwriting work."
fn update_reference(request: &Request, name: &str, state: &mut State) -> Answer {
    let body = request.json();
    let Some(sha) = body["sha"].as_str().map(str::to_owned) else {
        return Answer::error(422, "Invalid request. \"sha\" wasn't supplied.");
    };
    let Some(old) = state.refs.get(name).cloned() else { return Answer::error(422, "Reference does not exist") };
    if !state.commits.contains_key(&sha) {
        return Answer::error(422, "Object does not exist");
    }
    let mut ancestors = vec![sha.clone()];
    let mut is_ahead = false;
    while let Some(next) = ancestors.pop() {
        is_ahead |= next == old;
        ancestors.extend(state.commits[&next].parents.clone());
    }
    if !is_ahead && body["force"] != true {
        return Answer::error(422, "Update is not a fast forward");
    }
    state.refs.insert(name.to_owned(), sha.clone());
    if state.builds_on_push {
        state.build_pages();
    }
    Answer::json(200, &json!({"ref": format!("refs/{name}"), "object": {"sha": sha}}))
}

/// <https://docs.github.com/rest/git/commits#create-a-commit>
fn create_commit(request: &Request, state: &mut State) -> Answer {
    let body = request.json();
    let (Some(_), Some(tree)) = (body["message"].as_str(), body["tree"].as_str()) else {
        return Answer::error(422, "Invalid request. \"message\" or \"tree\" wasn't supplied.");
    };
    if !state.trees.contains_key(tree) {
        return Answer::error(422, "Tree SHA does not exist");
    }
    let parents: Vec<String> =
        body["parents"].as_array().into_iter().flatten().filter_map(|p| p.as_str().map(str::to_owned)).collect();
    if parents.iter().any(|parent| !state.commits.contains_key(parent)) {
        return Answer::error(422, "Parent SHA does not exist or is not a commit object");
    }
    let sha = state.commit(tree.to_owned(), parents);
    Answer::json(201, &json!({"sha": sha}))
}

/// <https://docs.github.com/rest/git/trees#get-a-tree>
fn tree(sha: &str, state: &State) -> Answer {
    let Some(entries) = state.trees.get(sha) else { return Answer::error(404, "Not Found") };
    let entries: Vec<Value> = entries
        .iter()
        .map(|(name, node)| match node.is_tree {
            true => json!({"path": name, "mode": "040000", "type": "tree", "sha": node.sha}),
            false => {
                let size = state.blobs[&node.sha].len();
                json!({"path": name, "mode": "100644", "type": "blob", "sha": node.sha, "size": size})
            }
        })
        .collect();
    Answer::json(200, &json!({"sha": sha, "tree": entries, "truncated": false}))
}

/// <https://docs.github.com/rest/git/trees#create-a-tree>: `path`, `mode` and `type` of each, and "either this, or
/// tree.content"; a null sha removes.
fn create_tree(request: &Request, state: &mut State) -> Answer {
    let body = request.json();
    let base = body["base_tree"].as_str().map(str::to_owned);
    if base.as_ref().is_some_and(|base| !state.trees.contains_key(base)) {
        return Answer::error(422, "base_tree is not a valid tree oid");
    }
    let mut root = base;
    let Some(entries) = body["tree"].as_array().filter(|entries| !entries.is_empty()) else {
        return Answer::error(422, "Invalid tree info");
    };
    for entry in entries {
        let path = entry["path"].as_str().unwrap_or_default();
        let is_path = path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git"));
        if !is_path || entry["mode"] != "100644" || entry["type"] != "blob" {
            return Answer::error(422, "tree.path, tree.mode or tree.type is invalid");
        }
        let node = match (entry.get("sha"), entry.get("content").and_then(Value::as_str)) {
            (Some(_), Some(_)) => return Answer::error(422, "Must supply either tree.sha or tree.content, not both"),
            (Some(Value::Null), None) => None,
            (Some(sha), None) if sha.as_str().is_some_and(|sha| state.blobs.contains_key(sha)) => {
                Some(sha.as_str().unwrap_or_default().to_owned())
            }
            (None, Some(content)) => Some(state.blob(content.as_bytes().to_vec())),
            _ => return Answer::error(422, "tree.sha is not a valid blob"),
        };
        let node = node.map(|sha| Node { sha, is_tree: false });
        root = Some(state.with(root.as_deref(), path, node));
    }
    Answer::json(201, &json!({"sha": root}))
}

/// <https://docs.github.com/rest/git/blobs#get-a-blob>: `application/vnd.github.raw+json` is the raw data.
fn blob(request: &Request, sha: &str, state: &State) -> Answer {
    match state.blobs.get(sha) {
        None => Answer::error(404, "Not Found"),
        Some(bytes) if request.header("accept") == Some("application/vnd.github.raw+json") => {
            Answer::bytes(200, bytes.clone())
        }
        Some(bytes) => Answer::json(200, &json!({"sha": sha, "size": bytes.len(), "encoding": "base64"})),
    }
}

/// <https://docs.github.com/rest/git/blobs#create-a-blob>: `utf-8` and `base64` are supported.
fn create_blob(request: &Request, state: &mut State) -> Answer {
    let body = request.json();
    let Some(content) = body["content"].as_str() else {
        return Answer::error(422, "Invalid request. \"content\" wasn't supplied.");
    };
    let bytes = match body["encoding"].as_str().unwrap_or("utf-8") {
        "utf-8" => content.as_bytes().to_vec(),
        "base64" => match decode(content) {
            Some(bytes) => bytes,
            None => return Answer::error(422, "content is not valid Base64"),
        },
        _ => return Answer::error(422, "encoding must be utf-8 or base64"),
    };
    let sha = state.blob(bytes);
    Answer::json(201, &json!({"sha": sha}))
}

/// <https://docs.github.com/rest/commits/commits#list-commits>: the commits of a branch that changed a path, newest first.
pub(super) fn commits(request: &Request, state: &State) -> Answer {
    let branch = request.query("sha").unwrap_or("main");
    let path = request.query("path").unwrap_or_default();
    let mut at = state.refs.get(&format!("heads/{branch}")).cloned();
    let mut found = Vec::new();
    while let Some(sha) = at {
        let commit = &state.commits[&sha];
        let before = commit.parents.first().and_then(|parent| state.file_at(parent, path));
        if state.file_at(&sha, path) != before {
            found.push(json!({"sha": sha, "commit": {"committer": {"date": commit.date}}}));
        }
        at = commit.parents.first().cloned();
    }
    super::page(request, "", &found)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = ALPHABET.iter().position(|known| *known == byte)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 255).ok()?);
        }
    }
    Some(bytes)
}
