//! Adds the one line to the build script.

use super::{InitError, Work, read_optional};
use crate::config::Project;
use std::path::PathBuf;
use toml_edit::DocumentMut;

/// Makes `build.rs`, or adds the line to the `main` that it has, or tells what to add.
pub(super) fn edit(work: &mut Work<'_>, project: &Project) -> Result<(), InitError> {
    let Some(path) = script(project)? else {
        work.todo(
            "Cargo.toml says `build = false`; remove that and make a build.rs that calls `updater_build::embed();`",
        );
        return Ok(());
    };
    let text = match read_optional(&path)? {
        None => return work.write(&path, NEW.as_bytes()),
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    if text.contains("updater_build::embed()") {
        return Ok(());
    }
    match with_line(&text) {
        Some(edited) => work.write(&path, edited.as_bytes()),
        None => {
            work.todo(format!("call `updater_build::embed();` in `main` of {}", path.display()));
            Ok(())
        }
    }
}

/// Returns the path of the build script; `None` when the manifest forbids one.
fn script(project: &Project) -> Result<Option<PathBuf>, InitError> {
    let text = read_optional(&project.manifest)?.unwrap_or_default();
    let document = String::from_utf8_lossy(&text).parse::<DocumentMut>().unwrap_or_default();
    let build = document.get("package").and_then(|package| package.get("build"));
    match build.map(|item| (item.as_bool(), item.as_str())) {
        Some((Some(false), _)) => Ok(None),
        Some((_, Some(name))) => Ok(Some(project.folder().join(name))),
        _ => Ok(Some(project.folder().join("build.rs"))),
    }
}

/// Adds the line as the first of `main`; `None` unless there is exactly one `main` that begins a line.
fn with_line(text: &str) -> Option<String> {
    let mut starts =
        text.match_indices("fn main()").map(|(at, _)| at).filter(|at| *at == 0 || text[..*at].ends_with('\n'));
    let (Some(start), None) = (starts.next(), starts.next()) else { return None };
    let brace = start + text[start..].find('{')?;
    // Between the name and the brace there may be a return type, nothing that ends the item.
    if text[start..brace].contains([';', '}']) {
        return None;
    }
    let (before, after) = text.split_at(brace + 1);
    let separator = if after.starts_with(['\n', '\r']) { "" } else { "\n   " };
    Some(format!("{before}\n    updater_build::embed();{separator}{after}"))
}

const NEW: &str = "//! Embeds the trusted root and the settings of `[package.metadata.updater]`.\n\nfn main() {\n    \
                   updater_build::embed();\n}\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_becomes_the_first_of_main() {
        for (before, after) in [
            ("fn main() {\n    x();\n}\n", "fn main() {\n    updater_build::embed();\n    x();\n}\n"),
            ("fn main() {}\n", "fn main() {\n    updater_build::embed();\n   }\n"),
            (
                "use a;\n\nfn main() -> Result<(), E> {\n    x()\n}\n",
                "use a;\n\nfn main() -> Result<(), E> {\n    updater_build::embed();\n    x()\n}\n",
            ),
        ] {
            assert_eq!(with_line(before).as_deref(), Some(after));
        }
    }

    #[test]
    fn what_cannot_be_edited_safely_is_left_alone() {
        for text in
            ["", "// fn main() {}\n", "mod a { fn main() {} }\n", "fn main() {}\nfn main() {}\n", "fn main();\n"]
        {
            assert_eq!(with_line(text), None, "{text:?}");
        }
    }
}
