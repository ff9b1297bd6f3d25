//! Links stay inside the install: checked on the text alone, before anything is written.

use super::{EntryContent, InstallKind, Manifest, ManifestEntry};
use crate::error::FormatError;
use crate::length::MAX_PATH;
use crate::path::FilePath;
use std::collections::{HashMap, HashSet};

/// Refuses links that leave the install, pass through another link, or lead to nothing that is listed.
///
/// Passing through a link is refused because `..` after it goes elsewhere than the text says. In an app bundle it is allowed,
/// and walked as the system would: the frameworks of macOS lead to `Versions/Current/NAME`, and `Current` is a link itself.
pub(super) fn check(manifest: &Manifest) -> Result<(), FormatError> {
    let entries = manifest.entries();
    let links: HashMap<&str, &str> = entries.iter().filter_map(link_of).collect();
    if links.is_empty() {
        return Ok(());
    }
    let through = if manifest.install() == InstallKind::AppBundle { MAX_LINKS } else { 0 };
    let folders: HashSet<&str> = entries.iter().flat_map(|e| e.path.parents()).collect();
    for entry in entries {
        let EntryContent::Link { target } = &entry.content else {
            continue;
        };
        let refuse =
            |rule| Err(FormatError::invalid("link in a manifest", &format!("{} -> {target}", entry.path), rule));
        if target.is_empty() || target.len() > MAX_PATH {
            return refuse("its target must have 1 to 1,024 bytes");
        }
        let end = match resolve(&entry.path, target, &links, through) {
            Ok(end) => end,
            Err(rule) => return refuse(rule),
        };
        match FilePath::parse(&end) {
            Ok(file) if manifest.find(&file).is_some() => {}
            _ if folders.contains(end.as_str()) => {}
            _ => return refuse("its target is nothing that the manifest lists"),
        }
    }
    Ok(())
}

fn link_of(entry: &ManifestEntry) -> Option<(&str, &str)> {
    match &entry.content {
        EntryContent::Link { target } => Some((entry.path.as_str(), target)),
        EntryContent::File { .. } => None,
    }
}

/// Walks from the link's folder along the target, through at most so many other links, and returns where it ends. The last
/// part is not followed: what it is, it is checked as by itself. Refuses a step that is empty, absolute, written for another
/// system or leaves the install.
fn resolve(link: &FilePath, target: &str, links: &HashMap<&str, &str>, through: usize) -> Result<String, &'static str> {
    const OUTSIDE: &str = "its target must be relative and stay inside the install";
    let mut at: Vec<&str> = link.as_str().split('/').collect();
    at.pop();
    // What is still to be walked, the next part last.
    let mut parts: Vec<&str> = target.rsplit('/').collect();
    let is_odd = |text: &str| text.chars().any(|c| c.is_control() || matches!(c, '\\' | ':' | '"'));
    if is_odd(target) {
        return Err(OUTSIDE);
    }
    let mut passed = 0;
    while let Some(part) = parts.pop() {
        match part {
            "" => return Err(OUTSIDE),
            "." => {}
            ".." => drop(at.pop().ok_or(OUTSIDE)?),
            _ => at.push(part),
        }
        let Some(next) = links.get(at.join("/").as_str()).filter(|_| !parts.is_empty()) else { continue };
        passed += 1;
        if passed > through {
            return Err(if through == 0 {
                "its target passes through another link"
            } else {
                "its target passes through more than 8 other links"
            });
        }
        if is_odd(next) {
            return Err(OUTSIDE);
        }
        at.pop();
        parts.extend(next.rsplit('/'));
    }
    Ok(at.join("/"))
}

/// The most links that one in an app bundle may pass through: 8. A framework needs one; macOS itself follows 32.
const MAX_LINKS: usize = 8;
