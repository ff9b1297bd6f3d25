//! A file with some of its deflate streams taken apart, read in place.

use super::leb128;
use super::stream::{self, Fault};
use std::io::{self, Read, Seek, SeekFrom};

/// Where a deflate stream lies in a file: offset and length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// A file, opened: the length of what lies before a stream, that, the stream taken apart; and so on; the length of the rest, the rest.
pub(super) struct View<'f, F> {
    file: &'f mut F,
    pieces: Vec<Piece>,
    /// What is not in the file: lengths, and streams taken apart.
    made: Vec<u8>,
    length: u64,
    at: u64,
}

/// A part of a view, from `start` on to the next one's.
struct Piece {
    start: u64,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    File(u64),
    Made(usize),
}

impl<'f, F: Read + Seek> View<'f, F> {
    /// Opens the streams of a file of `length` bytes, which are sorted and apart from each other; what is made takes at most `memory` bytes.
    pub(super) fn new(file: &'f mut F, length: u64, streams: &[Span], memory: u64) -> Result<Self, OpenError> {
        let limit = usize::try_from(memory).unwrap_or(usize::MAX);
        let mut view = View { file, pieces: Vec::new(), made: Vec::new(), length: 0, at: 0 };
        let mut end = 0;
        for span in streams {
            view.plain(end, span.offset - end);
            end = span.offset + span.length;
            // The stream itself is held as long as it is taken apart.
            if span.length > memory.saturating_sub(view.made.len() as u64) {
                return Err(OpenError::Stream(Fault::TooLarge));
            }
            let mut bytes = vec![0; span.length as usize];
            view.file.seek(SeekFrom::Start(span.offset)).map_err(OpenError::Read)?;
            view.file.read_exact(&mut bytes).map_err(OpenError::Read)?;
            let start = view.made.len();
            stream::take_apart(&bytes, &mut view.made, limit).map_err(OpenError::Stream)?;
            view.piece(Place::Made(start), (view.made.len() - start) as u64);
        }
        view.plain(end, length - end);
        Ok(view)
    }

    /// Returns the bytes that the view has.
    #[cfg(feature = "encode")]
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Returns the memory that the view takes, in bytes.
    pub(super) fn memory(&self) -> u64 {
        (self.made.capacity() + self.pieces.capacity() * size_of::<Piece>()) as u64
    }

    fn plain(&mut self, offset: u64, length: u64) {
        let start = self.made.len();
        leb128::put(&mut self.made, length);
        self.piece(Place::Made(start), (self.made.len() - start) as u64);
        self.piece(Place::File(offset), length);
    }

    fn piece(&mut self, place: Place, length: u64) {
        self.pieces.push(Piece { start: self.length, place });
        self.length += length;
    }
}

impl<F: Read + Seek> Read for View<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let index = self.pieces.partition_point(|piece| piece.start <= self.at);
        let Some(piece) = index.checked_sub(1).and_then(|index| self.pieces.get(index)) else { return Ok(0) };
        let end = self.pieces.get(index).map_or(self.length, |next| next.start);
        let within = self.at - piece.start;
        let length = end.saturating_sub(self.at).min(buffer.len() as u64) as usize;
        let read = match piece.place {
            Place::Made(start) => {
                let from = start + within as usize;
                buffer[..length].copy_from_slice(&self.made[from..from + length]);
                length
            }
            Place::File(offset) => {
                self.file.seek(SeekFrom::Start(offset + within))?;
                self.file.read(&mut buffer[..length])?
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl<F: Read + Seek> Seek for View<'_, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// Why a file could not be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// It could not be read.
    Read(io::Error),
    /// A stream is none, or too large.
    Stream(Fault),
}
