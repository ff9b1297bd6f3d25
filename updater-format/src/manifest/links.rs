//! Links stay inside the install: checked on the text alone, before anything is written.

use super::{EntryContent, Manifest};
use crate::error::FormatError;
use crate::length::MAX_PATH;
use crate::path::FilePath;
use std::collections::HashSet;

/// Refuses links that leave the install, pass through another link, or lead to nothing that is listed.
///
/// Passing through a link is refused because `..` after it goes elsewhere than the text says.
pub(super) fn check(manifest: &Manifest) -> Result<(), FormatError> {
    let entries = manifest.entries();
    let links: HashSet<&str> =
        entries.iter().filter(|e| matches!(e.content, EntryContent::Link { .. })).map(|e| e.path.as_str()).collect();
    if links.is_empty() {
        return Ok(());
    }
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
        let Some(steps) = resolve(&entry.path, target) else {
            return refuse("its target must be relative and stay inside the install");
        };
        if steps.iter().rev().skip(1).any(|step| links.contains(step.as_str())) {
            return refuse("its target passes through another link");
        }
        match steps.last() {
            Some(end) if FilePath::parse(end).is_ok_and(|end| manifest.find(&end).is_some()) => {}
            Some(end) if folders.contains(end.as_str()) => {}
            _ => return refuse("its target is nothing that the manifest lists"),
        }
    }
    Ok(())
}

/// Walks from the link's folder along the target and returns every place passed, the end last; `None` when a step is
/// empty, absolute, written for another system or leaves the install.
fn resolve(link: &FilePath, target: &str) -> Option<Vec<String>> {
    if target.chars().any(|c| c.is_control() || matches!(c, '\\' | ':' | '"')) {
        return None;
    }
    let mut at: Vec<&str> = link.as_str().split('/').collect();
    at.pop();
    let mut steps = Vec::new();
    for part in target.split('/') {
        match part {
            "" => return None,
            "." => {}
            ".." => {
                at.pop()?;
            }
            _ => at.push(part),
        }
        steps.push(at.join("/"));
    }
    Some(steps)
}
