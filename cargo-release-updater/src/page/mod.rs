//! What is published for people beside the repository: a page with the downloads, a feed of the releases, and two scripts
//! that install. Made from what is verified and from nothing else; no update depends on any of it.
//!
//! The files are not signed: whoever can change them can change what they say. What the scripts install is checked
//! against the signed `VERSION`, with the keys that the scripts carry.

mod feed;
mod html;
mod model;
mod notes;
mod platform;
mod scripts;
mod template;

pub use model::{Download, Listed, Offer, PatchSize, Release, Site};
pub use template::{TemplateError, Templates};

/// A file of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageFile {
    /// Where it is published, at the top of the storage.
    pub path: &'static str,
    /// What it says.
    pub text: String,
}

/// Makes all files. The same site gives the same bytes.
/// # Errors
/// [`TemplateError`] when a template of the project's own asks for something that there is not.
pub fn render(site: &Site, templates: &Templates) -> Result<Vec<PageFile>, TemplateError> {
    let index = templates.fill(INDEX, &html::values(site))?;
    let feed = feed::feed(site);
    let shell = templates.fill(INSTALL_SH, &scripts::shell_values(site))?;
    let power_shell = templates.fill(INSTALL_PS1, &scripts::power_shell_values(site))?;
    let texts = [(INDEX, index), (FEED, feed), (INSTALL_SH, shell), (INSTALL_PS1, power_shell)];
    Ok(texts.into_iter().map(|(path, text)| PageFile { path, text: marked(path, text) }).collect())
}

/// Adds the line by which our own files are known again, whatever templates they were made from.
fn marked(path: &str, mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    match path {
        INSTALL_SH | INSTALL_PS1 => text.push_str(&format!("# {MARK}\n")),
        _ => text.push_str(&format!("<!-- {MARK} -->\n")),
    }
    text
}

/// Tells whether a file is one of ours: others of the same names are somebody's website, and stay.
#[must_use]
pub fn is_ours(bytes: &[u8]) -> bool {
    let end = &bytes[bytes.len().saturating_sub(MARK.len() + 16)..];
    end.windows(MARK.len()).any(|window| window == MARK.as_bytes())
}

const MARK: &str = "Written by cargo updater, which replaces it. A file without this line it leaves alone.";

/// The page.
pub const INDEX: &str = "index.html";
/// The Atom feed.
pub const FEED: &str = "feed.xml";
/// The installer for Unix shells.
pub const INSTALL_SH: &str = "install.sh";
/// The installer for PowerShell.
pub const INSTALL_PS1: &str = "install.ps1";
/// The most bytes of one file of the page that is read back to see whether it changed: 4 MiB. What is larger is none of ours.
pub const MAX_FILE: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
