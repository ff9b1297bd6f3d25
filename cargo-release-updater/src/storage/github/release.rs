//! Releases and their assets: <https://docs.github.com/rest/releases>.
//!
//! Files go into a draft, which is published right before the commit that names them: a release that GitHub makes immutable
//! takes no files afterwards, and nobody sees half of one. A published release only ever gets files that it lacks.

use super::Asset;
use super::address::GitHubAddress;
use super::answer::missing;
use super::api::{Api, JSON, Repeat, Sent};
use super::error::GitHubError;
use crate::storage::objects::Created;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use updater_format::Sha256;
use updater_format::digest::HashingReader;
use ureq::http::Method;

/// The releases of a repository, as far as they were asked for.
#[derive(Debug)]
pub(super) struct Releases {
    prefix: String,
    known: Mutex<BTreeMap<String, Release>>,
}

#[derive(Debug, Clone)]
struct Release {
    id: u64,
    is_draft: bool,
    is_immutable: bool,
    upload_url: String,
    assets: BTreeMap<String, Stored>,
    /// What this publisher has put there or found there, by name.
    ours: BTreeMap<String, (u64, Sha256)>,
}

/// An asset as GitHub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    id: u64,
    size: u64,
    /// False for what a failed upload left: state `starter`.
    is_whole: bool,
    /// GitHub's own digest; older servers have none.
    sha256: Option<Sha256>,
}

/// A local file that becomes an asset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) file: &'a Path,
    pub(super) length: u64,
    pub(super) sha256: Sha256,
}

impl Releases {
    pub(super) fn new(address: &GitHubAddress) -> Self {
        Self { prefix: address.tag.clone(), known: Mutex::default() }
    }

    pub(super) fn tag_prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn length(&self, api: &Api, asset: &Asset) -> Result<Option<u64>, GitHubError> {
        Ok(self.stored(api, asset)?.map(|stored| stored.size))
    }

    pub(super) fn list(&self, api: &Api, tag: &str) -> Result<Vec<String>, GitHubError> {
        let release = self.find(api, tag)?;
        let assets = release.into_iter().flat_map(|release| release.assets);
        Ok(assets.filter(|(_, stored)| stored.is_whole).map(|(name, _)| name).collect())
    }

    pub(super) fn read(&self, api: &Api, asset: &Asset, limit: u64) -> Result<Option<Vec<u8>>, GitHubError> {
        let Some(stored) = self.stored(api, asset)? else { return Ok(None) };
        if stored.size > limit {
            return Err(GitHubError::TooLarge);
        }
        let Some(response) = api.download(&format!("releases/assets/{}", stored.id))? else { return Ok(None) };
        let mut bytes = Vec::new();
        let mut reader = response.into_body().into_reader().take(limit.saturating_add(1));
        reader.read_to_end(&mut bytes).map_err(|source| broken(&source))?;
        if bytes.len() as u64 > limit { Err(GitHubError::TooLarge) } else { Ok(Some(bytes)) }
    }

    /// Reads an asset piece by piece.
    pub(super) fn reader(&self, api: &Api, asset: &Asset) -> Result<Option<Box<dyn Read>>, GitHubError> {
        let Some(stored) = self.stored(api, asset)? else { return Ok(None) };
        let response = api.download(&format!("releases/assets/{}", stored.id))?;
        Ok(response.map(|response| Box::new(response.into_body().into_reader()) as Box<dyn Read>))
    }

    /// Uploads a file, unless the release has it. What an interrupted upload left is removed first.
    pub(super) fn put(
        &self,
        api: &Api,
        asset: &Asset,
        content: &Content<'_>,
        sent: &mut dyn FnMut(u64),
    ) -> Result<Created, GitHubError> {
        api.must_have_token()?;
        if content.length >= MAX_ASSET {
            return Err(GitHubError::AssetTooLarge { length: content.length, limit: MAX_ASSET });
        }
        let release = self.find_or_create(api, &asset.tag)?;
        if let Some(stored) = release.assets.get(&asset.name) {
            if stored.is_whole && stored.size == content.length && self.has_bytes(api, stored, content)? {
                self.remember(asset, content);
                sent(content.length);
                return Ok(Created::Exists);
            }
            if release.is_immutable {
                return Err(GitHubError::Immutable { tag: asset.tag.clone() });
            }
            // Clients may know it already: also when somebody else has published the draft since it was found.
            let is_draft = || Ok::<_, GitHubError>(self.look(api, &asset.tag)?.is_some_and(|now| now.is_draft));
            if stored.is_whole && !(release.is_draft && is_draft()?) {
                return Err(GitHubError::Differs);
            }
            self.delete(api, asset, stored.id)?;
        }
        if release.is_immutable {
            return Err(GitHubError::Immutable { tag: asset.tag.clone() });
        }
        let uploaded = self.upload(api, asset, &release, content, sent);
        let stored = match uploaded {
            Ok(stored) => stored,
            Err(error) => {
                // Looked at anew before it is tried again: the failed upload may have left half of it.
                if let (Ok(assets), Some(release)) = (self.assets(api, release.id), self.locked().get_mut(&asset.tag)) {
                    release.assets = assets;
                }
                return Err(error);
            }
        };
        if !self.has_bytes(api, &Stored { sha256: None, ..stored.clone() }, content)? {
            self.delete(api, asset, stored.id)?;
            return Err(GitHubError::NotAsSent);
        }
        if let Some(release) = self.locked().get_mut(&asset.tag) {
            release.assets.insert(asset.name.clone(), stored);
        }
        self.remember(asset, content);
        Ok(Created::New)
    }

    /// Publishes every draft that was filled, and looks whether it still has what was put there.
    pub(super) fn publish(&self, api: &Api) -> Result<(), GitHubError> {
        let touched = self.locked().clone().into_iter().filter(|(_, release)| !release.ours.is_empty());
        for (tag, release) in touched.collect::<Vec<_>>() {
            if release.is_draft {
                // What GitHub calls the latest is the app's: its pages and badges lead there.
                let latest = if tag.starts_with(&self.prefix) { "legacy" } else { "false" };
                let change = json!({"draft": false, "make_latest": latest});
                let published = api.post(&Method::PATCH, &format!("releases/{}", release.id), &change, Repeat::Safe);
                published.map_err(|error| refused(error, &tag))?;
            }
            let assets = self.assets(api, release.id)?;
            for (name, (length, sha256)) in &release.ours {
                let there = assets.get(name).filter(|stored| stored.is_whole && stored.size == *length);
                let digest = match there {
                    None => None,
                    Some(Stored { sha256: Some(known), .. }) => Some(*known),
                    Some(stored) => digest_of(api, stored.id)?.map(|(_, sha256)| sha256),
                };
                // Another publisher has put theirs into the same draft.
                if digest != Some(*sha256) {
                    return Err(GitHubError::NotAsSent);
                }
            }
            if let Some(known) = self.locked().get_mut(&tag) {
                (known.is_draft, known.assets) = (false, assets);
                known.ours.clear();
            }
        }
        Ok(())
    }

    fn upload(
        &self,
        api: &Api,
        asset: &Asset,
        release: &Release,
        content: &Content<'_>,
        sent: &mut dyn FnMut(u64),
    ) -> Result<Stored, GitHubError> {
        let url = api.upload_url(&release.upload_url, &asset.name)?;
        let file = std::fs::File::open(content.file).map_err(|source| GitHubError::Io { source })?;
        let mut reader = Counted { inner: file, sent };
        let mut body = Sent::Bytes(&mut reader, content.length);
        let answer = api.send(&Method::POST, &url, JSON, &[], Repeat::Never, &mut body);
        let stored = match answer.and_then(|answer| answer.json()) {
            Ok(value) => value,
            Err(error) => return Err(refused(error, &asset.tag)),
        };
        let found = stored["name"].as_str().unwrap_or_default().to_owned();
        let stored = Stored::read(&stored)?;
        if found != asset.name {
            self.delete(api, asset, stored.id)?;
            return Err(GitHubError::Renamed { found });
        }
        if !stored.is_whole || stored.size != content.length {
            self.delete(api, asset, stored.id)?;
            return Err(GitHubError::NotAsSent);
        }
        Ok(stored)
    }

    fn has_bytes(&self, api: &Api, stored: &Stored, content: &Content<'_>) -> Result<bool, GitHubError> {
        match stored.sha256 {
            Some(sha256) => Ok(sha256 == content.sha256),
            None => Ok(digest_of(api, stored.id)? == Some((content.length, content.sha256))),
        }
    }

    fn delete(&self, api: &Api, asset: &Asset, id: u64) -> Result<(), GitHubError> {
        let url = api.url(&format!("releases/assets/{id}"));
        // 404: somebody else, or an earlier try, has removed it.
        api.send(&Method::DELETE, &url, JSON, &[], Repeat::Safe, &mut Sent::Nothing)?;
        if let Some(release) = self.locked().get_mut(&asset.tag) {
            release.assets.remove(&asset.name);
        }
        Ok(())
    }

    fn stored(&self, api: &Api, asset: &Asset) -> Result<Option<Stored>, GitHubError> {
        let known = self.locked().get(&asset.tag).cloned();
        let release = match known {
            Some(release) => Some(release),
            None => self.find(api, &asset.tag)?,
        };
        Ok(release.and_then(|release| release.assets.get(&asset.name).cloned()).filter(|stored| stored.is_whole))
    }

    /// Returns the release of a tag: the published one, else the draft that is to become it.
    fn find_or_create(&self, api: &Api, tag: &str) -> Result<Release, GitHubError> {
        // Held while a draft is made: files of one release go up side by side, and GitHub makes as many drafts of a tag as it
        // is asked for.
        let mut known = self.locked();
        if let Some(release) = known.get(tag) {
            return Ok(release.clone());
        }
        let found = match self.look(api, tag)? {
            Some(release) => release,
            None => self.create(api, tag)?,
        };
        known.insert(tag.to_owned(), found.clone());
        Ok(found)
    }

    fn find(&self, api: &Api, tag: &str) -> Result<Option<Release>, GitHubError> {
        let mut known = self.locked();
        if let Some(release) = known.get(tag) {
            return Ok(Some(release.clone()));
        }
        let found = self.look(api, tag)?;
        known.extend(found.clone().map(|release| (tag.to_owned(), release)));
        Ok(found)
    }

    fn look(&self, api: &Api, tag: &str) -> Result<Option<Release>, GitHubError> {
        // Drafts have no address by tag, and only who may push sees them.
        let published = api.get(&format!("releases/tags/{tag}"))?;
        let value = match published {
            Some(value) => Some(value),
            None if api.has_token() => self.oldest_draft(api, tag)?,
            None => None,
        };
        let Some(value) = value else { return Ok(None) };
        let mut release = Release::read(&value)?;
        release.assets = self.assets(api, release.id)?;
        Ok(Some(release))
    }

    /// Returns the draft of a tag. Of several the oldest one counts, for every publisher.
    fn oldest_draft(&self, api: &Api, tag: &str) -> Result<Option<Value>, GitHubError> {
        let drafts = api.pages("releases")?.into_iter();
        let drafts = drafts.filter(|release| release["draft"] == true && release["tag_name"] == tag);
        Ok(drafts.min_by_key(|release| release["id"].as_u64()))
    }

    fn create(&self, api: &Api, tag: &str) -> Result<Release, GitHubError> {
        let version = tag.strip_prefix(&self.prefix).unwrap_or(tag);
        let mut wanted = json!({"tag_name": tag, "name": tag, "draft": true, "prerelease": version.contains('-')});
        if api.get(&format!("git/ref/tags/{tag}"))?.is_none() {
            // GitHub makes the tag when the release is published, of the newest commit unless it is told which.
            let commit = api.commit().ok_or_else(|| GitHubError::NoTag { tag: tag.to_owned() })?;
            wanted["target_commitish"] = commit.into();
        }
        let created = match api.post(&Method::POST, "releases", &wanted, Repeat::Never) {
            Ok(created) => created,
            // It may be there all the same: its answer was lost, or somebody else was faster.
            Err(error) => match self.look(api, tag)? {
                Some(release) => return Ok(release),
                None => return Err(refused(error, tag)),
            },
        };
        let release = Release::read(&created)?;
        let oldest = self.oldest_draft(api, tag)?.map(|draft| Release::read(&draft)).transpose()?;
        match oldest {
            Some(oldest) if oldest.id != release.id => {
                let url = api.url(&format!("releases/{}", release.id));
                api.send(&Method::DELETE, &url, JSON, &[], Repeat::Safe, &mut Sent::Nothing)?;
                let assets = self.assets(api, oldest.id)?;
                Ok(Release { assets, ..oldest })
            }
            _ => Ok(release),
        }
    }

    fn assets(&self, api: &Api, id: u64) -> Result<BTreeMap<String, Stored>, GitHubError> {
        let listed = api.pages(&format!("releases/{id}/assets"))?;
        let named = listed.iter().map(|asset| {
            let name = asset["name"].as_str().ok_or_else(|| missing("name"))?;
            Ok((name.to_owned(), Stored::read(asset)?))
        });
        named.collect()
    }

    fn remember(&self, asset: &Asset, content: &Content<'_>) {
        if let Some(release) = self.locked().get_mut(&asset.tag) {
            release.ours.insert(asset.name.clone(), (content.length, content.sha256));
        }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Release>> {
        // Plain data is whole whoever panicked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Release {
    fn read(value: &Value) -> Result<Self, GitHubError> {
        Ok(Self {
            id: value["id"].as_u64().ok_or_else(|| missing("id"))?,
            is_draft: value["draft"].as_bool().ok_or_else(|| missing("draft"))?,
            is_immutable: value["immutable"].as_bool().unwrap_or(false),
            upload_url: value["upload_url"].as_str().ok_or_else(|| missing("upload_url"))?.to_owned(),
            assets: BTreeMap::new(),
            ours: BTreeMap::new(),
        })
    }
}

impl Stored {
    fn read(value: &Value) -> Result<Self, GitHubError> {
        let digest = value["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
        Ok(Self {
            id: value["id"].as_u64().ok_or_else(|| missing("id"))?,
            size: value["size"].as_u64().ok_or_else(|| missing("size"))?,
            is_whole: value["state"] == "uploaded",
            sha256: digest.and_then(|digest| Sha256::parse(digest).ok()),
        })
    }
}

/// Tells each piece that is read.
struct Counted<'a> {
    inner: std::fs::File,
    sent: &'a mut dyn FnMut(u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(into)?;
        (self.sent)(read as u64);
        Ok(read)
    }
}

fn digest_of(api: &Api, id: u64) -> Result<Option<(u64, Sha256)>, GitHubError> {
    let Some(response) = api.download(&format!("releases/assets/{id}"))? else { return Ok(None) };
    let mut reader = HashingReader::new(response.into_body().into_reader());
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(|source| broken(&source))?;
    Ok(Some(reader.finish()))
}

/// Tells a release that takes no files any more from other refusals.
fn refused(error: GitHubError, tag: &str) -> GitHubError {
    match error {
        GitHubError::Refused { message } if message.contains("immutable") => {
            GitHubError::Immutable { tag: tag.to_owned() }
        }
        // Somebody else uploads it just now: whoever tries again finds it there.
        GitHubError::Refused { message } if message.contains("already_exists") => {
            GitHubError::Status { status: 503, message }
        }
        error => error,
    }
}

fn broken(source: &std::io::Error) -> GitHubError {
    GitHubError::Network { host: "GitHub".to_owned(), detail: source.to_string() }
}

/// An asset must have less than 2 GiB
/// (<https://docs.github.com/repositories/releasing-projects-on-github/about-releases#storage-and-bandwidth-quotas>).
const MAX_ASSET: u64 = 2 * 1024 * 1024 * 1024;
