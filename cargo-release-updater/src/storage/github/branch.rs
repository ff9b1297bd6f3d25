//! The branch that Pages serves, by the git data API: <https://docs.github.com/rest/git>.
//!
//! A commit is made of what waits and of the newest state of the branch, and the branch is moved to it only as a
//! fast-forward. Whatever else somebody has committed there meanwhile stays; a file of ours that changed is a lost race.

use super::address::GitHubAddress;
use super::answer::missing;
use super::api::{Api, JSON, RAW, Repeat, Sent};
use super::error::GitHubError;
use crate::storage::objects::{Created, Precondition, Replaced};
use base64::Engine as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use updater_format::UtcTime;
use ureq::http::Method;

/// The branch, and what is to go into it.
#[derive(Debug)]
pub(super) struct Branch {
    name: String,
    prefix: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest commit that was seen, with the entity tag under which GitHub told it.
    head: Option<Head>,
    /// Trees by their hash: they never change.
    trees: BTreeMap<String, BTreeMap<String, Entry>>,
    waiting: BTreeMap<String, Waiting>,
    /// What this try had made was dropped, because somebody else was faster. What builds upon it must not be committed.
    is_lost: bool,
}

impl State {
    /// Drops what was made from an older state of the branch. A signature holds whoever was faster.
    fn lose(&mut self) {
        self.waiting.retain(|_, waiting| !waiting.of_try);
        self.is_lost = true;
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    commit: String,
    tree: String,
    etag: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    sha: String,
    size: u64,
    is_tree: bool,
}

/// A file that goes with the next commit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    bytes: Vec<u8>,
    /// Whether there must be none of its name.
    is_new: bool,
    /// Whether it was made from the state of the branch that this try began with.
    of_try: bool,
}

impl Branch {
    pub(super) fn new(address: &GitHubAddress) -> Self {
        Self { name: address.branch.clone(), prefix: address.path.clone(), state: Mutex::default() }
    }

    pub(super) fn read(&self, api: &Api, path: &str, limit: u64) -> Result<Option<Vec<u8>>, GitHubError> {
        if let Some(waiting) = self.locked().waiting.get(path) {
            return Ok(Some(waiting.bytes.clone()));
        }
        let Some(entry) = self.entry(api, path)? else { return Ok(None) };
        if entry.size > limit {
            return Err(GitHubError::TooLarge);
        }
        let url = api.url(&format!("git/blobs/{}", entry.sha));
        let answer = api.send(&Method::GET, &url, RAW, &[], Repeat::Safe, &mut Sent::Nothing)?;
        if answer.status == 404 || blob_sha(&answer.body) != entry.sha {
            return Err(GitHubError::Answer { detail: format!("blob {} has other bytes", entry.sha) });
        }
        Ok(Some(answer.body))
    }

    pub(super) fn length(&self, api: &Api, path: &str) -> Result<Option<u64>, GitHubError> {
        if let Some(waiting) = self.locked().waiting.get(path) {
            return Ok(Some(waiting.bytes.len() as u64));
        }
        Ok(self.entry(api, path)?.map(|entry| entry.size))
    }

    /// Returns when a file was committed last; what waits is written now.
    pub(super) fn modified(&self, api: &Api, path: &str) -> Result<Option<SystemTime>, GitHubError> {
        if self.locked().waiting.contains_key(path) {
            return api.clock();
        }
        if self.entry(api, path)?.is_none() {
            return Ok(None);
        }
        let commits = api.get(&format!("commits?sha={}&path={}&per_page=1", self.name, self.full(path)))?;
        let date = commits.as_ref().and_then(|commits| commits[0]["commit"]["committer"]["date"].as_str());
        let seconds = date.and_then(|date| UtcTime::parse(date).ok()).and_then(|date| u64::try_from(date.unix()).ok());
        Ok(seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    pub(super) fn list(&self, api: &Api, folder: &str) -> Result<Vec<String>, GitHubError> {
        let mut state = self.locked();
        let waiting = state.waiting.keys().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
        let mut names: Vec<String> = waiting.filter(|name| !name.contains('/')).map(str::to_owned).collect();
        let found = self.refresh(api, &mut state)?;
        if let Some(tree) =
            found.map(|head| self.folder(api, &mut state, &head.tree, &self.full(folder))).transpose()?
        {
            let files = tree.into_iter().flatten().filter(|(_, entry)| !entry.is_tree);
            names.extend(files.map(|(name, _)| name));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    pub(super) fn precondition(&self, api: &Api, path: &str) -> Result<Precondition, GitHubError> {
        Ok(self.entry(api, path)?.map_or(Precondition::Absent, |entry| Precondition::Tag(entry.sha)))
    }

    /// Lets a file go with the next commit if there is none of its name. One that only waits is replaced.
    pub(super) fn stage_new(&self, api: &Api, path: &str, bytes: Vec<u8>) -> Result<Created, GitHubError> {
        api.must_have_token()?;
        if let Some(entry) = self.entry(api, path)? {
            return Ok(if entry.sha == blob_sha(&bytes) { Created::New } else { Created::Exists });
        }
        self.locked().waiting.insert(path.to_owned(), Waiting { bytes, is_new: true, of_try: true });
        Ok(Created::New)
    }

    /// Lets a file go with the next commit, and not if that one comes second.
    pub(super) fn stage_for_try(&self, path: &str, bytes: Vec<u8>) {
        self.locked().waiting.insert(path.to_owned(), Waiting { bytes, is_new: false, of_try: true });
    }

    /// Lets a file go with the next commit.
    pub(super) fn stage(&self, path: &str, bytes: Vec<u8>) {
        self.locked().waiting.insert(path.to_owned(), Waiting { bytes, is_new: false, of_try: false });
    }

    /// Returns a file that waits.
    pub(super) fn first_waiting(&self) -> Option<String> {
        self.locked().waiting.keys().next().cloned()
    }

    /// Begins a try: what an earlier one has made is dropped.
    pub(super) fn start_over(&self) {
        let mut state = self.locked();
        state.lose();
        state.is_lost = false;
    }

    /// Ends a try that came second.
    pub(super) fn lose(&self) {
        self.locked().lose();
    }

    /// Says that somebody else was faster.
    pub(super) fn overtaken(&self) -> GitHubError {
        GitHubError::Busy { branch: self.name.clone(), times: 2 }
    }

    /// Tells whether this try came second already.
    pub(super) fn is_lost(&self) -> bool {
        self.locked().is_lost
    }

    /// Tells whether what waits may go into the branch as it is now.
    pub(super) fn holds(&self, api: &Api, path: &str, expected: &Precondition) -> Result<bool, GitHubError> {
        api.must_have_token()?;
        let mut state = self.locked();
        let head = self.refresh(api, &mut state)?;
        Ok(self.changes(api, &mut state, head.as_ref(), path, expected)?.is_some())
    }

    /// Commits everything that waits, if `path` is as it is expected to be and no file that is to be created exists.
    pub(super) fn commit(&self, api: &Api, path: &str, expected: &Precondition) -> Result<Replaced, GitHubError> {
        let mut state = self.locked();
        for attempt in 0..ATTEMPTS {
            let head = self.refresh(api, &mut state)?;
            let Some(changes) = self.changes(api, &mut state, head.as_ref(), path, expected)? else {
                state.lose();
                state.waiting.remove(path);
                return Ok(Replaced::Changed);
            };
            if changes.is_empty() || self.try_commit(api, &mut state, head.as_ref(), path, changes)? {
                state.waiting.clear();
                return Ok(Replaced::Done);
            }
            std::thread::sleep(PAUSE * (attempt + 1 + std::process::id() % 3));
        }
        Err(GitHubError::Busy { branch: self.name.clone(), times: ATTEMPTS })
    }

    /// Makes one commit; false when the branch has moved meanwhile.
    fn try_commit(
        &self,
        api: &Api,
        state: &mut State,
        head: Option<&Head>,
        path: &str,
        changes: BTreeMap<String, Vec<u8>>,
    ) -> Result<bool, GitHubError> {
        let mut entries = Vec::new();
        for (path, bytes) in changes {
            entries.push(match String::from_utf8(bytes) {
                // GitHub makes the blob itself.
                Ok(text) if !text.is_empty() => {
                    json!({"path": path, "mode": "100644", "type": "blob", "content": text})
                }
                Ok(_) => self.blob(api, &path, &[])?,
                Err(error) => self.blob(api, &path, error.as_bytes())?,
            });
        }
        let mut tree = json!({ "tree": entries });
        if let Some(head) = head {
            tree["base_tree"] = head.tree.clone().into();
        }
        let tree = text(&api.post(&Method::POST, "git/trees", &tree, Repeat::Safe)?, "sha")?;
        let parents: Vec<&str> = head.iter().map(|head| head.commit.as_str()).collect();
        let commit = json!({"message": format!("Update {}", self.full(path)), "tree": tree, "parents": parents});
        let commit = text(&api.post(&Method::POST, "git/commits", &commit, Repeat::Safe)?, "sha")?;
        let moved = match head {
            // `force` left out or false: only as a fast-forward.
            Some(_) => {
                let reference = format!("git/refs/heads/{}", self.name);
                api.post(&Method::PATCH, &reference, &json!({"sha": commit, "force": false}), Repeat::Safe)
            }
            None => {
                let reference = json!({"ref": format!("refs/heads/{}", self.name), "sha": commit});
                api.post(&Method::POST, "git/refs", &reference, Repeat::Safe)
            }
        };
        match moved {
            Ok(_) => {
                state.head = None;
                Ok(true)
            }
            // "Update is not a fast forward", "Reference already exists": also when the answer to the first try got lost. What is
            // in the branch then decides.
            Err(GitHubError::Refused { message }) if is_race(&message) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn blob(&self, api: &Api, path: &str, bytes: &[u8]) -> Result<Value, GitHubError> {
        let content = base64::engine::general_purpose::STANDARD.encode(bytes);
        let blob = json!({"content": content, "encoding": "base64"});
        let sha = text(&api.post(&Method::POST, "git/blobs", &blob, Repeat::Safe)?, "sha")?;
        Ok(json!({"path": path, "mode": "100644", "type": "blob", "sha": sha}))
    }

    /// Returns what has to be written, by full path: everything that waits and is not there; `None` when a condition does
    /// not hold.
    fn changes(
        &self,
        api: &Api,
        state: &mut State,
        head: Option<&Head>,
        path: &str,
        expected: &Precondition,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, GitHubError> {
        let mut changes = BTreeMap::new();
        for (name, waiting) in state.waiting.clone() {
            let full = self.full(&name);
            let there = match head {
                Some(head) => self.find(api, state, &head.tree, &full)?.map(|entry| entry.sha),
                None => None,
            };
            let is_same = there.as_deref() == Some(blob_sha(&waiting.bytes).as_str());
            let holds = match (name == path, expected) {
                // Also when the answer to an earlier try got lost.
                _ if is_same => continue,
                (true, Precondition::Absent) => there.is_none(),
                (true, Precondition::Tag(tag)) => there.as_ref() == Some(tag),
                _ => !waiting.is_new || there.is_none(),
            };
            if !holds {
                return Ok(None);
            }
            changes.insert(full, waiting.bytes);
        }
        if head.is_none() && !changes.is_empty() {
            // A new branch: pages as they are, and a short answer to what does not exist, because clients ask for the next root
            // at every check.
            changes.insert(".nojekyll".to_owned(), Vec::new());
            changes.insert("404.html".to_owned(), NOT_FOUND.to_vec());
        }
        Ok(Some(changes))
    }

    fn entry(&self, api: &Api, path: &str) -> Result<Option<Entry>, GitHubError> {
        let mut state = self.locked();
        match self.refresh(api, &mut state)? {
            Some(head) => self.find(api, &mut state, &head.tree, &self.full(path)),
            None => Ok(None),
        }
    }

    /// Asks for the newest commit of the branch; `None` when there is no branch. An unchanged answer costs nothing of the
    /// rate limit.
    fn refresh(&self, api: &Api, state: &mut State) -> Result<Option<Head>, GitHubError> {
        let url = api.url(&format!("git/ref/heads/{}", self.name));
        let etag = state.head.as_ref().and_then(|head| head.etag.clone());
        let known: Vec<(&str, &str)> = etag.iter().map(|etag| ("if-none-match", etag.as_str())).collect();
        let answer = api.send(&Method::GET, &url, JSON, &known, Repeat::Safe, &mut Sent::Nothing)?;
        match answer.status {
            304 => return Ok(state.head.clone()),
            404 => {
                state.head = None;
                return match api.get("")? {
                    Some(_) => Ok(None),
                    None => Err(GitHubError::NoRepository { slug: api.slug().to_owned() }),
                };
            }
            _ => {}
        }
        let commit = text(&answer.json()?["object"], "sha")?;
        let etag = answer.header("etag").map(str::to_owned);
        let tree = match &state.head {
            Some(head) if head.commit == commit => head.tree.clone(),
            _ => {
                let found = api.get(&format!("git/commits/{commit}"))?.unwrap_or_default();
                text(&found["tree"], "sha")?
            }
        };
        state.head = Some(Head { commit, tree, etag });
        Ok(state.head.clone())
    }

    fn find(&self, api: &Api, state: &mut State, root: &str, full: &str) -> Result<Option<Entry>, GitHubError> {
        let (folder, name) = full.rsplit_once('/').unwrap_or(("", full));
        let tree = self.folder(api, state, root, folder)?;
        Ok(tree.and_then(|tree| tree.get(name).cloned()).filter(|entry| !entry.is_tree))
    }

    /// Returns what lies in a folder; `None` when there is none.
    fn folder(
        &self,
        api: &Api,
        state: &mut State,
        root: &str,
        folder: &str,
    ) -> Result<Option<BTreeMap<String, Entry>>, GitHubError> {
        let mut sha = root.to_owned();
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            match load(api, state, &sha)?.get(part) {
                Some(entry) if entry.is_tree => sha.clone_from(&entry.sha),
                _ => return Ok(None),
            }
        }
        load(api, state, &sha).cloned().map(Some)
    }

    fn full(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // Plain data is whole whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a tree, once.
fn load<'a>(api: &Api, state: &'a mut State, sha: &str) -> Result<&'a BTreeMap<String, Entry>, GitHubError> {
    if !state.trees.contains_key(sha) {
        let tree = api.get(&format!("git/trees/{sha}"))?.unwrap_or_default();
        if tree["truncated"] == true {
            return Err(GitHubError::Truncated);
        }
        let entries = tree["tree"].as_array().ok_or_else(|| missing("tree"))?;
        let entries = entries.iter().map(|entry| {
            let is_tree = entry["type"] == "tree";
            let size = entry["size"].as_u64().unwrap_or(0);
            Ok((text(entry, "path")?, Entry { sha: text(entry, "sha")?, size, is_tree }))
        });
        let entries = entries.collect::<Result<BTreeMap<_, _>, GitHubError>>()?;
        state.trees.insert(sha.to_owned(), entries);
    }
    state.trees.get(sha).ok_or_else(|| missing("tree"))
}

fn is_race(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["fast forward", "fast-forward", "already exists", "reference update failed"]
        .iter()
        .any(|words| message.contains(words))
}

fn text(value: &Value, field: &'static str) -> Result<String, GitHubError> {
    value[field].as_str().map(str::to_owned).ok_or_else(|| missing(field))
}

/// Returns the name that git gives a file's content.
fn blob_sha(bytes: &[u8]) -> String {
    use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
    // Only to tell which content GitHub has: nothing is trusted for it.
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(format!("blob {}\0", bytes.len()).as_bytes());
    context.update(bytes);
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a client gets that asks for a root that does not exist yet: GitHub's own page has several kilobytes.
const NOT_FOUND: &[u8] = b"not found\n";
/// How often a commit is made anew because somebody else moved the branch.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_have_the_names_that_git_gives_them() {
        assert_eq!(blob_sha(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(blob_sha(b"what is up, doc?"), "bd9dbf5aae1a3862dd1526723246b20206e5fc37");
    }
}
