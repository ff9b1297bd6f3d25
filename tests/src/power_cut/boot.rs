//! What the machine boots: a kernel of Debian and a file system in memory that holds this binary, the libraries that it
//! needs, and the drivers of the disk.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A kernel with its drivers.
#[derive(Debug)]
pub struct Kernel {
    /// The image that is booted.
    pub image: PathBuf,
    /// Its release, for example `6.1.0-56-cloud-amd64`.
    pub release: String,
    modules: PathBuf,
}

impl Kernel {
    /// Finds a kernel in a folder that has `boot/` and `lib/modules/`, as a package has when it is unpacked.
    /// # Errors
    /// When there is none.
    pub fn in_folder(folder: &Path) -> io::Result<Self> {
        let boot = std::fs::read_dir(folder.join("boot"))?;
        let named = |entry: io::Result<std::fs::DirEntry>| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some((name.strip_prefix("vmlinuz-")?.to_owned(), name))
        };
        let missing = || io::Error::other(format!("there is no kernel in {}", folder.display()));
        let (release, name) = boot.filter_map(named).max().ok_or_else(missing)?;
        let modules = folder.join("lib/modules").join(&release).join("kernel");
        Ok(Self { image: folder.join("boot").join(name), release, modules })
    }

    /// Fetches the kernel for clouds from the archive of this Debian, unpacks it into a folder and installs nothing. One
    /// that is there is taken.
    /// # Errors
    /// When apt or dpkg fail.
    pub fn fetch(folder: &Path) -> io::Result<Self> {
        if let Ok(found) = Self::in_folder(folder) {
            return Ok(found);
        }
        std::fs::create_dir_all(folder)?;
        let shown = output(Command::new("apt-cache").args(["depends", "--important", META_PACKAGE]))?;
        let package = shown.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image"));
        let package = package.ok_or_else(|| io::Error::other(format!("{META_PACKAGE} depends on no kernel")))?;
        output(
            Command::new("apt-get").args(["-qq", "download", &format!("linux-image{package}")]).current_dir(folder),
        )?;
        let archives = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
        let archive = archives.filter(|path| path.extension().is_some_and(|end| end == "deb")).max();
        let archive = archive.ok_or_else(|| io::Error::other("apt-get download brought nothing"))?;
        output(Command::new("dpkg-deb").arg("--extract").args([&archive, folder]))?;
        std::fs::remove_file(archive)?;
        Self::in_folder(folder)
    }

    /// Returns the drivers with those that they need before them. One that is not there is built into the kernel.
    fn drivers(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut paths = Vec::new();
        let mut pending = vec![self.modules.clone()];
        while let Some(folder) = pending.pop() {
            for entry in std::fs::read_dir(folder)?.flatten() {
                let path = entry.path();
                if path.is_dir() { pending.push(path) } else { paths.push(path) }
            }
        }
        let (mut drivers, mut done) = (Vec::new(), BTreeSet::new());
        for name in DRIVERS {
            load_order(name, &paths, &mut done, &mut drivers)?;
        }
        Ok(drivers)
    }
}

/// Puts together the file system in memory, a `cpio` archive.
/// # Errors
/// When a file of the system cannot be read.
pub fn initramfs(kernel: &Kernel, program: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "disk", "drivers"] {
        archive.folder(folder);
    }
    archive.entry("dev/console", CHARACTER_DEVICE | 0o600, CONSOLE, &[]);
    archive.entry("init", FILE | 0o755, (0, 0), program);
    for (number, driver) in kernel.drivers()?.iter().enumerate() {
        archive.entry(&format!("drivers/{number:02}"), FILE | 0o644, (0, 0), driver);
    }
    for library in libraries()? {
        let path = library.strip_prefix("/").unwrap_or(&library).to_string_lossy().into_owned();
        archive.entry(&path, FILE | 0o755, (0, 0), &std::fs::read(&library)?);
    }
    Ok(archive.end())
}

/// Returns the libraries of this very program, the loader among them, by their own paths.
fn libraries() -> io::Result<Vec<PathBuf>> {
    let text = output(Command::new("ldd").arg(std::env::current_exe()?))?;
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(text.lines().filter_map(path).collect())
}

fn load_order(
    name: &str,
    paths: &[PathBuf],
    done: &mut BTreeSet<String>,
    drivers: &mut Vec<Vec<u8>>,
) -> io::Result<()> {
    if !done.insert(name.to_owned()) {
        return Ok(());
    }
    let is_it = |path: &&PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.split_once(".ko").is_some_and(|(stem, _)| stem.replace('-', "_") == name)
    };
    let Some(path) = paths.iter().find(is_it) else { return Ok(()) };
    let mut bytes = std::fs::read(path)?;
    if path.extension().is_some_and(|end| end == "xz") {
        let packed = std::mem::take(&mut bytes);
        xz2::read::XzDecoder::new(packed.as_slice()).read_to_end(&mut bytes)?;
    }
    for needed in needs(&bytes) {
        load_order(&needed, paths, done, drivers)?;
    }
    drivers.push(bytes);
    Ok(())
}

/// Reads which other drivers a driver names (`depends=a,b` in its section `.modinfo`).
fn needs(driver: &[u8]) -> Vec<String> {
    let field = driver.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(b"depends="));
    let text = String::from_utf8_lossy(field.unwrap_or_default()).replace('-', "_");
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// An archive in the format `newc` of cpio (`Documentation/driver-api/early-userspace/buffer-format.rst` of Linux).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
}

impl Archive {
    fn folder(&mut self, path: &str) {
        if !path.is_empty() && self.folders.insert(path.to_owned()) {
            self.entry(path, FOLDER | 0o755, (0, 0), &[]);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        for (at, _) in path.match_indices('/') {
            self.folder(&path[..at]);
        }
        let (length, name) = (content.len(), path.len() + 1);
        let (major, minor) = device;
        // Number, mode, owner, group, links, time, length, device of the file, device, length of the name, check.
        let head = format!(
            "070701{:08x}{mode:08x}{:016x}{:08x}{:08x}{length:08x}{:016x}{major:08x}{minor:08x}{name:08x}{:08x}",
            0, 0, 1, 0, 0, 0
        );
        self.padded(&[head.as_bytes(), path.as_bytes(), b"\0"].concat());
        self.padded(content);
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("{command:?}: {}: {}", output.status, error.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Depends on the newest kernel for clouds: small, with the drivers of virtual machines.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// The drivers of the disk; the file system of ext4 may be one too.
const DRIVERS: [&str; 3] = ["virtio_pci", "virtio_blk", "ext4"];
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
/// The device number of `/dev/console`.
const CONSOLE: (u32, u32) = (5, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_name_what_they_need() {
        assert_eq!(needs(b"\x7fELF\0license=GPL\0depends=virtio-ring,virtio\0name=x\0"), ["virtio_ring", "virtio"]);
        assert!(needs(b"license=GPL\0depends=\0").is_empty());
    }

    #[test]
    fn an_archive_is_made_of_padded_entries_with_their_folders() {
        let mut archive = Archive::default();
        archive.entry("lib/x", FILE | 0o755, (0, 0), b"abcde");
        let bytes = archive.end();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(bytes.len() % 4, 0);
        let names: Vec<usize> = ["lib\0", "lib/x\0", "abcde", "TRAILER!!!"].map(|name| text.find(name).unwrap()).into();
        assert!(names.is_sorted(), "{names:?}");
        // The fixed head: 6 + 13 numbers of 8 digits.
        assert_eq!(text.find("lib\0"), Some(110));
    }
}
