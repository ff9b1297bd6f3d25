//! A file with some of its deflate streams taken apart, read in place.

use super::leb128;
use super::stream::{self, Fault, KEEPING};
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
    /// What is not in the file: lengths, and the blocks of streams, each as long as it is.
    made: Vec<Box<[u8]>>,
    length: u64,
    at: u64,
    /// Bytes of memory that are taken, and that may be.
    taken: u64,
    memory: u64,
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
    /// Opens the streams of a file of `length` bytes, which are sorted and apart from each other. That takes at most `memory` bytes, what is
    /// only needed on the way included.
    pub(super) fn new(file: &'f mut F, length: u64, streams: &[Span], memory: u64) -> Result<Self, OpenError> {
        let mut view = View { file, pieces: Vec::new(), made: Vec::new(), length: 0, at: 0, taken: 0, memory };
        let mut end = 0;
        for span in streams {
            view.plain(end, span.offset - end)?;
            end = span.offset + span.length;
            // The stream itself is held as long as it is taken apart.
            let left = view.memory.checked_sub(view.taken.saturating_add(span.length));
            let left = left.ok_or(OpenError::Stream(Fault::TooLarge))?;
            let mut bytes = vec![0; span.length as usize];
            view.file.seek(SeekFrom::Start(span.offset)).map_err(OpenError::Read)?;
            view.file.read_exact(&mut bytes).map_err(OpenError::Read)?;
            stream::take_apart(&bytes, left, |block| view.make(block)).map_err(OpenError::Stream)?;
            view.check()?;
        }
        view.plain(end, length - end)?;
        Ok(view)
    }

    /// Returns the bytes that the view has.
    #[cfg(feature = "encode")]
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Returns the memory that the view takes, in bytes.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    fn plain(&mut self, offset: u64, length: u64) -> Result<(), OpenError> {
        let mut number = Vec::new();
        leb128::put(&mut number, length);
        self.make(&number);
        self.piece(Place::File(offset), length);
        self.check()
    }

    fn make(&mut self, bytes: &[u8]) {
        self.piece(Place::Made(self.made.len()), bytes.len() as u64);
        self.made.push(bytes.into());
        self.taken += bytes.len() as u64 + KEEPING;
    }

    fn piece(&mut self, place: Place, length: u64) {
        self.pieces.push(Piece { start: self.length, place });
        self.length += length;
        self.taken += KEEPING;
    }

    const fn check(&self) -> Result<(), OpenError> {
        if self.taken > self.memory { Err(OpenError::Stream(Fault::TooLarge)) } else { Ok(()) }
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
            Place::Made(index) => {
                let from = within as usize;
                buffer[..length].copy_from_slice(&self.made[index][from..from + length]);
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
