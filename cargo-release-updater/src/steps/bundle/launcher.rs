//! The launcher's table in a bundle: an ordinary file, listed in the manifest and so covered by the signature.

use super::{BundleStepError, Chosen, ChosenContent, Contents};
use std::path::Path;
use updater_format::json::{self, Map, Value};
use updater_format::launcher::{LAUNCHER_PATH, LauncherSettings};
use updater_format::{FileMode, FilePath};

/// Adds the package's table to what is bundled, or checks the one that a folder brings along, which wins.
/// # Errors
/// [`BundleStepError::Launcher`] for a folder's table that a launcher would refuse; [`BundleStepError::Write`].
pub fn add_launcher_table(
    contents: &mut Contents,
    table: Option<&Map<String, Value>>,
    scratch: &Path,
) -> Result<(), BundleStepError> {
    if let Some(own) = contents.files.iter().find(|chosen| chosen.path.as_str() == LAUNCHER_PATH) {
        return check(own);
    }
    let Some(table) = table else { return Ok(()) };
    let path = FilePath::parse(LAUNCHER_PATH).map_err(|source| BundleStepError::Manifest { source })?;
    let file = scratch.join(LAUNCHER_PATH);
    let failed = |source| BundleStepError::Write { path: file.clone(), source };
    std::fs::create_dir_all(scratch).map_err(failed)?;
    std::fs::write(&file, json::compact(&Value::Object(table.clone()))).map_err(failed)?;
    contents.files.push(Chosen { path, content: ChosenContent::File { source: file, mode: FileMode::Data } });
    Ok(())
}

fn check(own: &Chosen) -> Result<(), BundleStepError> {
    let ChosenContent::File { source, .. } = &own.content else { return Ok(()) };
    let bytes = std::fs::read(source).map_err(|error| BundleStepError::Read { path: source.clone(), source: error })?;
    let refuse = |problem: String| BundleStepError::Launcher { path: source.clone(), problem };
    match json::parse("launcher table", &bytes).map_err(|error| refuse(error.to_string()))? {
        Value::Object(table) => LauncherSettings::from_layers([&table]).map(|_| ()).map_err(|e| refuse(e.to_string())),
        _ => Err(refuse("it is no JSON object".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::ReleaseVersion;

    fn contents(files: Vec<Chosen>) -> Contents {
        Contents {
            app: "hello".parse().unwrap(),
            component: None,
            version: ReleaseVersion::parse("1.0.0").unwrap(),
            platform: "x86_64-unknown-linux-gnu".parse().unwrap(),
            install: None,
            entry: None,
            keep_local: vec![],
            codecs: vec![],
            files,
        }
    }

    #[test]
    fn the_packages_table_becomes_a_file() {
        let scratch = tempfile::tempdir().unwrap();
        let mut contents = contents(vec![]);
        add_launcher_table(&mut contents, None, scratch.path()).unwrap();
        assert!(contents.files.is_empty());
        let Value::Object(table) = serde_json::json!({"restart": "always"}) else { panic!() };
        add_launcher_table(&mut contents, Some(&table), scratch.path()).unwrap();
        assert_eq!(contents.files[0].path.as_str(), LAUNCHER_PATH);
        let ChosenContent::File { source, .. } = &contents.files[0].content else { panic!() };
        assert_eq!(std::fs::read_to_string(source).unwrap(), r#"{"restart":"always"}"#);
    }

    #[test]
    fn a_folders_table_wins_and_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join(LAUNCHER_PATH);
        let with = |text: &str| {
            std::fs::write(&source, text).unwrap();
            let content = ChosenContent::File { source: source.clone(), mode: FileMode::Data };
            let mut contents = contents(vec![Chosen { path: LAUNCHER_PATH.parse().unwrap(), content }]);
            add_launcher_table(&mut contents, Some(&Map::new()), folder.path()).map(|()| contents.files.len())
        };
        assert_eq!(with(r#"{"restart":"never"}"#).unwrap(), 1);
        for text in [r#"{"restrat":"never"}"#, "[]", "{", r#"{"keep":2,"keep":3}"#] {
            assert!(matches!(with(text), Err(BundleStepError::Launcher { .. })), "{text}");
        }
    }
}
