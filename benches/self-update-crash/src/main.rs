//! `report` says which version this is; `update` takes an update by `self_update`, as its documentation shows it: one
//! program, or (with `SELF_UPDATE_BUNDLE`) a whole folder. The version stands in a line behind the last byte of the program.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let bytes = std::fs::read(&program)?;
    let line = bytes.rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    let version = std::str::from_utf8(line)?.trim().to_owned();
    drop(bytes);
    if std::env::args().nth(1).as_deref() == Some("update") {
        update(&program, &version)?;
    }
    println!("version {version}");
    Ok(())
}

fn update(program: &Path, version: &str) -> Result<(), Box<dyn Error>> {
    let mut update = self_update::backends::manifest::Update::configure();
    update
        .manifest_url(std::env::var("SELF_UPDATE_MANIFEST")?)
        .bin_name("hello")
        .current_version(version)
        .show_output(false)
        .no_confirm(true);
    if std::env::var_os("SELF_UPDATE_BUNDLE").is_some() {
        let folder = program.parent().and_then(Path::parent).ok_or("no folder")?;
        update.bundle_path_in_archive("hello").bundle_install_path(folder);
    }
    let status = update.build()?.update()?;
    println!("updated {}", status.version());
    Ok(())
}
