//! Repositories on disk or on a mounted share: `file:` URLs.

use super::{Body, FetchError, FetchRequest, Fetched, Transport};
use std::io::{ErrorKind, Read, Seek, SeekFrom};

/// Reads `file:` URLs. Resuming works; entity tags are not given, so a known copy is always read again.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileTransport;

impl Transport for FileTransport {
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let url = &request.url;
        let path = url
            .to_path()
            .ok_or_else(|| FetchError::Url { url: url.to_string(), rule: "it does not name a local file" })?;
        let broken = |source: std::io::Error| FetchError::File { path: path.clone(), source };
        // Looked at before it is opened: opening a named pipe would wait for its other end.
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => {
                return Err(broken(std::io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")));
            }
            // A missing folder is a share that is not mounted, which says nothing about the file.
            Err(error) if error.kind() == ErrorKind::NotFound && path.parent().is_some_and(std::path::Path::is_dir) => {
                return Err(FetchError::NotFound { url: url.clone() });
            }
            Err(error) => return Err(broken(error)),
        };
        let mut file = std::fs::File::open(&path).map_err(broken)?;
        if metadata.len() > request.max_bytes {
            return Err(FetchError::TooLarge { url: url.clone(), limit: request.max_bytes });
        }
        let start = request.resume.as_ref().map_or(0, |resume| resume.offset).min(metadata.len());
        file.seek(SeekFrom::Start(start)).map_err(broken)?;
        let reader = CancellableFile { file, cancel: request.cancel.clone() };
        let body = Body::new(request, Box::new(reader)).with_start(start).with_length(Some(metadata.len() - start));
        Ok(Fetched::Body(body))
    }
}

struct CancellableFile {
    file: std::fs::File,
    cancel: crate::cancel::CancelToken,
}

impl Read for CancellableFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(FetchError::Cancelled.into_io());
        }
        self.file.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Resume, Url};
    use super::*;

    #[test]
    fn whole_resumed_missing_and_too_long() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.bin"), b"0123456789").unwrap();
        let base = Url::from_path(folder.path()).unwrap();
        let read = |request: &FetchRequest| -> Result<(u64, Vec<u8>), FetchError> {
            let Fetched::Body(mut body) = FileTransport.fetch(request)? else { panic!("not modified") };
            let (start, mut bytes, mut buffer) = (body.start(), Vec::new(), [0; 3]);
            loop {
                match body.read(&mut buffer)? {
                    0 => return Ok((start, bytes)),
                    n => bytes.extend_from_slice(&buffer[..n]),
                }
            }
        };
        let mut request = FetchRequest::new(base.join("a.bin"), 10);
        assert_eq!(read(&request).unwrap(), (0, b"0123456789".to_vec()));
        request.resume = Some(Resume { offset: 7, etag: None });
        assert_eq!(read(&request).unwrap(), (7, b"789".to_vec()));
        request.max_bytes = 9;
        assert!(matches!(read(&request), Err(FetchError::TooLarge { limit: 9, .. })));
        let missing = FetchRequest::new(base.join("b.bin"), 10);
        assert!(matches!(read(&missing), Err(FetchError::NotFound { .. })));
        let unmounted = FetchRequest::new(base.join("share/b.bin"), 10);
        assert!(matches!(read(&unmounted), Err(FetchError::File { .. })), "a missing folder is not a missing file");
        let directory = FetchRequest::new(base, 10);
        assert!(matches!(read(&directory), Err(FetchError::File { .. })));
        let request = FetchRequest::new(Url::from_path(&folder.path().join("a.bin")).unwrap(), 10);
        request.cancel.cancel();
        assert!(matches!(read(&request), Err(FetchError::Cancelled)));
    }
}
