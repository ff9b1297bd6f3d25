//! The search along delegations: its order, its ends, and who is believed on the way.

use super::*;
use crate::length::MAX_DELEGATED_ROLES;
use crate::role::{Hashes, TargetFile};
use crate::trust::search::{SearchStep, TargetSearch};
use std::collections::BTreeMap;

/// A repository of delegated roles. Each is signed by the seed in `signers`, 4 where none is given.
#[derive(Default)]
struct Graph {
    edges: Vec<(&'static str, DelegatedRole)>,
    targets: Vec<(&'static str, &'static str)>,
    signers: BTreeMap<&'static str, u8>,
    unlisted: Vec<&'static str>,
    /// Stands in for the top-level role that the edges would give.
    top: Option<Targets>,
}

impl Graph {
    fn edge(mut self, from: &'static str, to: &str, paths: &[&str]) -> Self {
        self.edges.push((from, role(to, 4, paths)));
        self
    }
    fn terminating(mut self) -> Self {
        self.edges.last_mut().unwrap().1.terminating = true;
        self
    }
    /// The key that the last edge asks for.
    fn keyed(mut self, seed: u8) -> Self {
        self.edges.last_mut().unwrap().1.keyring = keyring(&[&Key::new(seed)], 1);
        self
    }
    fn target(mut self, in_role: &'static str, name: &'static str) -> Self {
        self.targets.push((in_role, name));
        self
    }

    fn document(&self, name: &str) -> Targets {
        let file = |role: &str| TargetFile {
            length: role.len() as u64,
            hashes: Hashes::sha256_only(Sha256::of(role.as_bytes())),
            custom: None,
            extra: Map::new(),
        };
        let roles: Vec<_> = self.edges.iter().filter(|(from, _)| *from == name).map(|(_, to)| to.clone()).collect();
        Targets {
            version: 1,
            expires: UtcTime::parse(NOW).unwrap().plus_days(1),
            targets: self
                .targets
                .iter()
                .filter(|(role, _)| *role == name)
                .map(|(role, target)| ((*target).to_owned(), file(role)))
                .collect(),
            delegations: (!roles.is_empty()).then(|| Delegations { roles, extra: Map::new() }),
            extension: None,
            extra: Map::new(),
        }
    }

    /// Returns the set and every delegated document.
    fn publish(&self) -> (TrustedSet<Complete>, BTreeMap<String, Untrusted>) {
        let mut repo = Repo::new();
        repo.root.extension = None;
        let top = self.top.clone().unwrap_or_else(|| self.document("targets"));
        let top = sign(&top, &[&repo.targets_key]);
        let documents: BTreeMap<String, Untrusted> = self
            .edges
            .iter()
            .map(|(_, to)| {
                let seed = self.signers.get(to.name.as_str()).copied().unwrap_or(4);
                (to.name.clone(), sign(&self.document(&to.name), &[&Key::new(seed)]))
            })
            .collect();
        repo.snapshot.roles = documents
            .iter()
            .filter(|(name, _)| !self.unlisted.contains(&name.as_str()))
            .map(|(name, bytes)| (name.clone(), MetaFile::of(1, bytes.as_bytes())))
            .chain([("targets".to_owned(), MetaFile::of(1, top.as_bytes()))])
            .collect();
        let snapshot = sign(&repo.snapshot, &[&repo.online]);
        repo.timestamp.snapshot = MetaFile::of(1, snapshot.as_bytes());
        let rules = Rules { app: None, ..Repo::rules() };
        let set = TrustedSet::new(rules, &repo.root_bytes()).unwrap().finish_root().unwrap();
        let set = set.timestamp(&sign(&repo.timestamp, &[&repo.online]), None).unwrap();
        (set.snapshot(&snapshot, None).unwrap().targets(&top).unwrap(), documents)
    }

    /// Searches; returns the roles that were loaded and how it ended.
    fn search(&self, target: &str) -> (Vec<String>, Result<Option<String>, TrustError>) {
        let (set, documents) = self.publish();
        run(&mut set.search(target), &documents)
    }
}

fn run(
    search: &mut TargetSearch<'_>,
    documents: &BTreeMap<String, Untrusted>,
) -> (Vec<String>, Result<Option<String>, TrustError>) {
    let mut loaded = Vec::new();
    let end = loop {
        match search.step() {
            Ok(SearchStep::Load { role, wanted }) => {
                assert_eq!(wanted.file, format!("1.{}.json", quote(&role)));
                loaded.push(role.clone());
                if let Err(error) = search.role(&documents[&role]) {
                    break Err(error);
                }
            }
            Ok(SearchStep::Found(found)) => break Ok(Some(found.role)),
            Ok(SearchStep::Absent) => break Ok(None),
            Err(error) => break Err(error),
        }
    };
    (loaded, end)
}

fn role(name: &str, seed: u8, paths: &[&str]) -> DelegatedRole {
    DelegatedRole {
        name: name.to_owned(),
        keyring: keyring(&[&Key::new(seed)], 1),
        terminating: false,
        paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        extra: Map::new(),
    }
}

fn visits(graph: &Graph, expected: &[&str]) {
    let (loaded, end) = graph.search("missing");
    assert_eq!(loaded, expected);
    assert_eq!(end, Ok(None));
}

#[test]
fn roles_are_visited_depth_first_in_the_order_of_the_delegations() {
    let tree = Graph::default().edge("targets", "a", &["*"]).edge("targets", "b", &["*"]);
    visits(&tree.edge("a", "c", &["*"]).edge("a", "d", &["*"]), &["a", "c", "d", "b"]);
    let deep = Graph::default().edge("targets", "a", &["*"]).edge("targets", "b", &["*"]);
    visits(&deep.edge("a", "c", &["*"]).edge("c", "d", &["*"]), &["a", "c", "d", "b"]);
}

#[test]
fn after_a_terminating_delegation_only_its_own_tree_is_searched() {
    let graph = Graph::default().edge("targets", "a", &["*"]).edge("targets", "b", &["*"]);
    let graph = graph.edge("a", "c", &["*"]).terminating().edge("a", "d", &["*"]).edge("c", "e", &["*"]);
    visits(&graph, &["a", "c", "e"]);
    // A terminating delegation that does not cover the target ends nothing.
    let graph = Graph::default().edge("targets", "a", &["other-*"]).terminating();
    visits(&graph.edge("targets", "b", &["*"]), &["b"]);
}

#[test]
fn cycles_end_and_a_role_is_visited_once() {
    let cycle = Graph::default().edge("targets", "a", &["*"]).edge("a", "b", &["*"]).edge("b", "a", &["*"]);
    visits(&cycle.edge("targets", "b", &["*"]), &["a", "b"]);
    let diamond = Graph::default().edge("targets", "a", &["*"]).edge("targets", "b", &["*"]);
    visits(&diamond.edge("a", "c", &["*"]).edge("b", "c", &["*"]), &["a", "c", "b"]);
}

#[test]
fn a_role_vouches_only_for_what_every_delegation_on_the_way_covers() {
    let graph = Graph::default()
        .edge("targets", "b", &["releases/*/*"])
        .edge("b", "d", &["releases/y/*.zip"])
        .target("b", "elsewhere")
        .target("d", "releases/y/1.zip")
        .target("d", "releases/z/1.zip");
    assert_eq!(graph.search("releases/y/1.zip").1, Ok(Some("d".to_owned())));
    assert_eq!(graph.search("releases/z/1.zip"), (vec!["b".to_owned()], Ok(None)));
    assert_eq!(graph.search("elsewhere"), (vec![], Ok(None)));
}

#[test]
fn the_first_role_in_order_wins_and_its_file_is_the_one_returned() {
    let graph =
        Graph::default().edge("targets", "a", &["*"]).edge("targets", "b", &["*"]).target("a", "x").target("b", "x");
    let (set, documents) = graph.publish();
    let mut search = set.search("x");
    run(&mut search, &documents).1.unwrap();
    let SearchStep::Found(found) = search.step().unwrap() else { panic!() };
    assert_eq!((found.role.as_str(), found.file.hashes.sha256()), ("a", Some(Sha256::of(b"a"))));
    let error = search.role(&documents["b"]).unwrap_err();
    assert!(matches!(error, TrustError::UnknownRole { .. }), "a search that ended takes no role: {error}");
}

#[test]
fn each_delegation_is_verified_for_itself() {
    // "release" is signed by the key that parent-a asks for. What it says is worth nothing on the way over parent-b.
    let graph = Graph::default()
        .edge("targets", "parent-a", &["team-a/*"])
        .edge("targets", "parent-b", &["team-b/*"])
        .edge("parent-a", "release", &["team-a/*"])
        .edge("parent-b", "release", &["team-b/*"])
        .keyed(9)
        .target("release", "team-a/x")
        .target("release", "team-b/x");
    let (set, documents) = graph.publish();
    assert_eq!(run(&mut set.search("team-a/x"), &documents).1, Ok(Some("release".to_owned())));
    let refused = TrustError::Signatures { role: "release".to_owned(), valid: 0, threshold: 1 };
    assert_eq!(run(&mut set.search("team-b/x"), &documents).1, Err(refused));
}

#[test]
fn a_role_that_cannot_be_believed_ends_the_search() {
    let mut graph = Graph::default().edge("targets", "a", &["*"]).edge("targets", "b", &["*"]).target("b", "x");
    graph.signers.insert("a", 9);
    assert!(matches!(graph.search("x").1, Err(TrustError::Signatures { .. })));
    graph.signers.clear();
    graph.unlisted.push("a");
    let (loaded, end) = graph.search("x");
    assert_eq!(loaded, Vec::<String>::new(), "a role that the snapshot does not list is not even fetched");
    assert_eq!(end, Err(TrustError::UnknownRole { role: "a".to_owned(), by: "snapshot".to_owned() }));
}

#[test]
fn a_search_visits_32_roles_and_no_more() {
    let chain = |length: usize| {
        let names: Vec<&'static str> = (0..=length).map(|i| &*Box::leak(format!("r{i}").into_boxed_str())).collect();
        let mut graph = Graph::default().edge("targets", names[0], &["*"]);
        for pair in names[..length].windows(2) {
            graph = graph.edge(pair[0], pair[1], &["*"]);
        }
        graph.target(names[length - 1], "x")
    };
    assert_eq!(chain(MAX_DELEGATED_ROLES).search("x").1, Ok(Some("r31".to_owned())));
    let (loaded, end) = chain(MAX_DELEGATED_ROLES + 1).search("x");
    assert_eq!(loaded.len(), MAX_DELEGATED_ROLES);
    assert_eq!(end, Err(TrustError::TooManyRoles { role: "r32".to_owned(), limit: MAX_DELEGATED_ROLES }));
}

#[test]
fn hash_bins_are_passed_over_and_never_taken_for_a_match() {
    let (mut graph, mut bins) = (Graph::default(), role("bins", 4, &[]));
    bins.extra.insert("path_hash_prefixes".to_owned(), vec![""].into());
    graph.edges.push(("targets", bins));
    let graph = graph.edge("targets", "b", &["*"]).target("bins", "x").target("b", "x");
    assert_eq!(graph.search("x"), (vec!["b".to_owned()], Ok(Some("b".to_owned()))));

    let mut top = graph.document("targets");
    top.delegations = Some(Delegations {
        roles: vec![],
        extra: [(
            "succinct_roles".to_owned(),
            crate::json::parse("test", br#"{"bit_length":1,"keyids":[],"name_prefix":"bin","threshold":1}"#).unwrap(),
        )]
        .into_iter()
        .collect(),
    });
    assert_eq!(Targets::from_value(top.to_value()).unwrap(), top, "the bins survive being read and written");
    let succinct = Graph { top: Some(top), ..Graph::default() };
    assert_eq!(succinct.search("x"), (vec![], Ok(None)));
}

#[test]
fn patterns_match_part_by_part() {
    let covers = |pattern: &str, target: &str| role("r", 4, &[pattern]).covers(target);
    for (pattern, target) in [
        ("*.md", "README.md"),
        ("foo-?.tgz", "foo-1.tgz"),
        ("releases/*/*", "releases/x/x_v1"),
        ("*", ""),
        ("a[1]", "a[1]"),
    ] {
        assert!(covers(pattern, target), "{pattern} {target}");
    }
    for (pattern, target) in [
        ("*.md", "releases/README.md"),
        ("*.md", "README.MD"),
        ("foo-?.tgz", "foo-alpha.tgz"),
        ("releases/*", "releases/x/y"),
        ("*", "a/b"),
        ("a[12]", "a1"),
        ("", "a"),
    ] {
        assert!(!covers(pattern, target), "{pattern} {target}");
    }
    // Exponential in a matcher that tries every split; here it is over at once.
    assert!(!covers(&"*a".repeat(200), &("a".repeat(400) + "b")));
    assert!(!role("r", 4, &[]).covers("a"));
}
