//! What the stand-in knows: git objects, references, releases, tokens, and the faults that are to come.

use super::http::{Fault, Logged};
use super::{READS, WRITES};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use std::collections::{BTreeMap, BTreeSet};
use updater_format::UtcTime;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read and write `Contents`.
    Writes,
    /// Read it.
    Reads,
    /// There is no token.
    Nobody,
}

/// Everything that the stand-in knows.
pub struct State {
    /// The tokens.
    pub tokens: BTreeMap<String, Access>,
    /// Whether only tokens see the repository.
    pub is_private: bool,
    /// Whether releases become immutable when they are published.
    pub makes_immutable: bool,
    /// Tags of immutable releases that were deleted.
    pub burned: BTreeSet<String>,
    /// Branches and tags: `heads/main`, `tags/v1.0.0`.
    pub refs: BTreeMap<String, String>,
    /// The releases, drafts included, by id.
    pub releases: BTreeMap<u64, Release>,
    /// Whether a push builds the pages at once, as that of a person does.
    pub builds_on_push: bool,
    /// The commit that Pages serves.
    pub built: Option<String>,
    /// Every request, in order.
    pub log: Vec<Logged>,
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    pub(super) trees: BTreeMap<String, BTreeMap<String, Node>>,
    pub(super) commits: BTreeMap<String, Commit>,
    next_id: u64,
    faults: BTreeMap<usize, Fault>,
    on_path: Vec<(String, Fault)>,
    last: Option<usize>,
}

/// A release or a draft.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its tag.
    pub tag: String,
    /// Whether nobody sees it yet.
    pub draft: bool,
    /// Whether it is not for everybody.
    pub prerelease: bool,
    /// Whether nothing of it changes any more.
    pub immutable: bool,
    /// The commit its tag is made of when there is none.
    pub target: String,
    /// Its assets, by id.
    pub assets: BTreeMap<u64, Asset>,
}

/// A file of a release.
#[derive(Debug, Clone)]
pub struct Asset {
    /// The name, as GitHub has changed it.
    pub name: String,
    /// `uploaded`, or `starter` for what a failed upload left.
    pub state: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) sha: String,
    pub(super) is_tree: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) tree: String,
    pub(super) parents: Vec<String>,
    pub(super) date: String,
}

impl State {
    pub(super) fn new() -> Self {
        let mut state = Self {
            tokens: [(WRITES.to_owned(), Access::Writes), (READS.to_owned(), Access::Reads)].into(),
            is_private: false,
            makes_immutable: false,
            burned: BTreeSet::new(),
            refs: BTreeMap::new(),
            releases: BTreeMap::new(),
            builds_on_push: true,
            built: None,
            log: Vec::new(),
            blobs: BTreeMap::new(),
            trees: BTreeMap::new(),
            commits: BTreeMap::new(),
            next_id: 1,
            faults: BTreeMap::new(),
            on_path: Vec::new(),
            last: None,
        };
        let readme = state.blob(b"app\n".to_vec());
        let tree = state.tree([("README.md".to_owned(), Node { sha: readme, is_tree: false })].into());
        let first = state.commit(tree, Vec::new());
        state.refs.insert("heads/main".to_owned(), first);
        state
    }

    /// Makes a tag of the newest commit of `main`.
    pub fn tag(&mut self, tag: &str) {
        let newest = self.refs["heads/main"].clone();
        self.refs.insert(format!("tags/{tag}"), newest);
    }

    /// Lets one request fail: the one with this number from now on, counted from 0.
    pub fn fail(&mut self, after: usize, fault: Fault) {
        self.faults.insert(self.log.len() + after, fault);
    }

    /// Lets the next request whose method and path contain this text fail.
    pub fn fail_on(&mut self, text: &str, fault: Fault) {
        self.on_path.push((text.to_owned(), fault));
    }

    /// Does nothing of what is asked after this many requests more, as if who asks had died.
    pub fn stop_after(&mut self, requests: usize) {
        self.last = Some(self.log.len() + requests);
    }

    /// Drops every fault that has not happened.
    pub fn heal(&mut self) {
        self.faults.clear();
        self.on_path.clear();
        self.last = None;
    }

    pub(super) fn fault(&mut self, method: &str, path: &str) -> Option<Fault> {
        if self.last.is_some_and(|last| self.log.len() >= last) {
            return Some(Fault::Status(401, Vec::new()));
        }
        if let Some(fault) = self.faults.remove(&self.log.len()) {
            return Some(fault);
        }
        let line = format!("{method} {path}");
        let found = self.on_path.iter().position(|(text, _)| line.contains(text.as_str()))?;
        Some(self.on_path.remove(found).1)
    }

    /// Returns a file of the branch as it is now.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.file_at(self.refs.get("heads/gh-pages")?, path)
    }

    /// Returns the paths of all files of the branch.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        if let Some(commit) = self.refs.get("heads/gh-pages").and_then(|sha| self.commits.get(sha)) {
            self.walk(&commit.tree, "", &mut files);
        }
        files
    }

    /// Returns how many commits the branch has.
    #[must_use]
    pub fn commits_of_branch(&self) -> usize {
        let mut at = self.refs.get("heads/gh-pages");
        let mut count = 0;
        while let Some(commit) = at.and_then(|sha| self.commits.get(sha)) {
            count += 1;
            at = commit.parents.first();
        }
        count
    }

    /// Changes a file of the branch as somebody else does.
    pub fn push(&mut self, path: &str, bytes: &[u8]) {
        let head = self.refs.get("heads/gh-pages").cloned();
        let root = head.as_ref().map(|head| self.commits[head].tree.clone());
        let sha = self.blob(bytes.to_vec());
        let tree = self.with(root.as_deref(), path, Some(Node { sha, is_tree: false }));
        let commit = self.commit(tree, head.into_iter().collect());
        self.refs.insert("heads/gh-pages".to_owned(), commit);
        self.build_pages();
    }

    /// Returns the release of a tag, draft or not.
    #[must_use]
    pub fn release(&self, tag: &str) -> Option<&Release> {
        self.releases.values().find(|release| release.tag == tag)
    }

    /// Adds a release as a person does in the browser.
    pub fn add_release(&mut self, tag: &str, draft: bool) -> u64 {
        let target = "main".to_owned();
        let immutable = self.makes_immutable && !draft;
        let release =
            Release { tag: tag.to_owned(), draft, prerelease: false, immutable, target, assets: BTreeMap::new() };
        let id = self.id();
        self.releases.insert(id, release);
        id
    }

    /// Builds the pages of the newest commit.
    pub fn build_pages(&mut self) {
        self.built = self.refs.get("heads/gh-pages").cloned();
    }

    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn file_at(&self, commit: &str, path: &str) -> Option<Vec<u8>> {
        let mut sha = self.commits.get(commit)?.tree.clone();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let node = self.trees.get(&sha)?.get(part)?;
            if parts.peek().is_none() {
                return (!node.is_tree).then(|| self.blobs[&node.sha].clone());
            }
            sha = node.sha.clone();
        }
        None
    }

    fn walk(&self, tree: &str, prefix: &str, files: &mut Vec<String>) {
        for (name, node) in &self.trees[tree] {
            match node.is_tree {
                true => self.walk(&node.sha, &format!("{prefix}{name}/"), files),
                false => files.push(format!("{prefix}{name}")),
            }
        }
    }

    pub(super) fn blob(&mut self, bytes: Vec<u8>) -> String {
        let sha = object("blob", &bytes);
        self.blobs.insert(sha.clone(), bytes);
        sha
    }

    pub(super) fn tree(&mut self, entries: BTreeMap<String, Node>) -> String {
        let text: String =
            entries.iter().map(|(name, node)| format!("{} {name} {}\n", u8::from(node.is_tree), node.sha)).collect();
        let sha = object("tree", text.as_bytes());
        self.trees.insert(sha.clone(), entries);
        sha
    }

    pub(super) fn commit(&mut self, tree: String, parents: Vec<String>) -> String {
        let seconds = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let date = UtcTime::from_unix(i64::try_from(seconds).unwrap_or(0)).to_string();
        // Two commits of the same content are two commits: GitHub signs each with its time.
        let text = format!("{tree} {parents:?} {date} {}", self.commits.len());
        let sha = object("commit", text.as_bytes());
        self.commits.insert(sha.clone(), Commit { tree, parents, date });
        sha
    }

    /// Returns a tree with one path changed or removed.
    pub(super) fn with(&mut self, root: Option<&str>, path: &str, node: Option<Node>) -> String {
        let mut entries = root.map(|root| self.trees[root].clone()).unwrap_or_default();
        match path.split_once('/') {
            None => match node {
                Some(node) => drop(entries.insert(path.to_owned(), node)),
                None => drop(entries.remove(path)),
            },
            Some((folder, rest)) => {
                let below = entries.get(folder).filter(|node| node.is_tree).map(|node| node.sha.clone());
                let sha = self.with(below.as_deref(), rest, node);
                match self.trees[&sha].is_empty() {
                    // git has no empty folders.
                    true => drop(entries.remove(folder)),
                    false => drop(entries.insert(folder.to_owned(), Node { sha, is_tree: true })),
                }
            }
        }
        self.tree(entries)
    }
}

fn object(kind: &str, bytes: &[u8]) -> String {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(format!("{kind} {}\0", bytes.len()).as_bytes());
    context.update(bytes);
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
