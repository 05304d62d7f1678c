//! Beginnings as files.
//!
//! A file is sealed. It has, compressed with Zstandard, a head in postcard and then the pages of RAM, each
//! with its index in front. It is for the same
//! chaosrun only, whose hash is in the name, because what a machine does is a matter of each version.

use std::io::{self, Read, Write};
use std::sync::Arc;

use chaosrun_x86::{PAGE_SIZE, PageBytes};
use serde::{Deserialize, Serialize};

use super::{Beginning, Jump};
use crate::engine::SavedVcpu;
use crate::machine::boot::Booted;
use crate::machine::config::MachineConfig;
use crate::machine::image::ImageId;
use crate::machine::io::{Output, Outputs};
use crate::machine::platform::PlatformState;
use crate::machine::saved::{SavedMachine, SavedPlatform};
use crate::machine::sched::SchedState;
use crate::ram::Pages;
use crate::sealed::{Kind, SealError};
use crate::tape::StreamState;
use crate::time::VirtTime;

/// The version changes with what [`Head`] has.
const KIND: Kind = Kind {
    magic: *b"CRBOOT\r\n",
    version: 1,
};
/// The longest head, which has the outputs, in bytes.
const HEAD_MAX: u64 = 256 << 20;
/// How much is spent on compressing: what is read more often than written.
const LEVEL: i32 = 1;
/// The sources of which this chaosrun was made.
const BUILD: &str = env!("CHAOSRUN_VMM_SOURCES");

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is of another kind or version, or damaged.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It is of another machine, although its name says otherwise.
    #[error("it is of another image or another chaosrun")]
    Other,
    /// It ends too soon, or can't be unpacked.
    #[error("it can't be unpacked: {0}")]
    Unpack(#[from] io::Error),
    /// It says something impossible.
    #[error("it is not understood: {0}")]
    Head(#[from] postcard::Error),
    /// A page is outside of the RAM, or comes twice.
    #[error("page {0} has no place in the RAM")]
    Page(u32),
}

/// All but the pages.
#[derive(Serialize, Deserialize)]
struct Head {
    build: String,
    image: ImageId,
    end: VirtTime,
    outputs: Vec<Output>,
    jumps: Vec<Jump>,
    vcpus: Vec<SavedVcpu>,
    state: PlatformState,
    random: StreamState,
    tsc_reads: u64,
    scheduler: SchedState,
    booted: Booted,
    windows: u32,
    pages: u32,
}

impl Beginning {
    /// The name by which it is stored.
    pub fn file_name(image: &ImageId) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(BUILD.as_bytes());
        hasher.update(image.bytes());
        format!("{:.32}", hasher.finalize().to_hex())
    }

    /// The content of a file.
    pub fn to_bytes(&self, image: ImageId) -> Vec<u8> {
        KIND.seal(&self.pack(image).expect("a vector takes everything"))
    }

    fn pack(&self, image: ImageId) -> io::Result<Vec<u8>> {
        let Self {
            end,
            machine,
            pages,
            outputs,
            jumps,
        } = self;
        let SavedMachine {
            vcpus,
            ram,
            platform,
            scheduler,
            // Nothing was hashed yet.
            chain: _,
            booted,
            windows,
            // It goes on.
            over: _,
        } = machine;
        let SavedPlatform {
            state,
            random,
            tsc_reads,
            // Nothing of a node is in it.
            entropy: _,
            outputs: _,
            disks: _,
        } = platform;
        let head = Head {
            build: BUILD.to_owned(),
            image,
            end: *end,
            outputs: outputs.clone(),
            jumps: jumps.clone(),
            vcpus: vcpus.clone(),
            state: state.clone(),
            random: random.clone(),
            tsc_reads: *tsc_reads,
            scheduler: scheduler.clone(),
            booted: booted.clone(),
            windows: *windows,
            pages: *pages as u32,
        };
        let head = postcard::to_allocvec(&head).map_err(io::Error::other)?;
        let mut out = zstd::Encoder::new(Vec::new(), LEVEL)?;
        out.write_all(&(head.len() as u64).to_le_bytes())?;
        out.write_all(&head)?;
        let mut result = Ok(());
        ram.each(&mut |index, bytes| {
            let page = out
                .write_all(&index.to_le_bytes())
                .and_then(|()| out.write_all(bytes));
            result = std::mem::replace(&mut result, Ok(())).and(page);
        });
        result?;
        out.finish()
    }

    /// What a file contains, which has to be of this image.
    ///
    /// # Errors
    /// It is not what it should be.
    pub fn from_bytes(
        bytes: &[u8],
        config: &MachineConfig<'_>,
        image: ImageId,
    ) -> Result<Self, FileError> {
        let mut packed = zstd::Decoder::new(KIND.open(bytes)?)?;
        let head = read_head(&mut packed)?;
        if head.build != BUILD || head.image != image {
            return Err(FileError::Other);
        }
        let ram = read_pages(&mut packed, head.pages, config.memory)?;
        let machine = SavedMachine {
            vcpus: head.vcpus,
            ram,
            platform: SavedPlatform {
                state: head.state,
                random: head.random,
                entropy: StreamState {
                    name: String::new(),
                    next: 0,
                },
                tsc_reads: head.tsc_reads,
                outputs: Outputs::default(),
                disks: Vec::new(),
            },
            scheduler: head.scheduler,
            chain: 0,
            booted: head.booted,
            windows: head.windows,
            over: None,
        };
        Ok(Self::new(head.end, machine, head.outputs, head.jumps))
    }
}

fn read_head(packed: &mut impl Read) -> Result<Head, FileError> {
    let mut length = [0; 8];
    packed.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut head = Vec::new();
    packed.take(length.min(HEAD_MAX)).read_to_end(&mut head)?;
    Ok(postcard::from_bytes(&head)?)
}

fn read_pages(packed: &mut impl Read, count: u32, memory: u64) -> Result<Pages, FileError> {
    let all = memory / PAGE_SIZE;
    let mut pages = Pages::zeros(all as usize);
    for _ in 0..count {
        let mut index = [0; 4];
        packed.read_exact(&mut index)?;
        let index = u32::from_le_bytes(index);
        if u64::from(index) >= all || pages.get(index).is_some() {
            return Err(FileError::Page(index));
        }
        let mut bytes: Arc<PageBytes> = Arc::new([0; PAGE_SIZE as usize]);
        if let Some(bytes) = Arc::get_mut(&mut bytes) {
            packed.read_exact(bytes)?;
        }
        pages.set(index, Some(bytes));
    }
    Ok(pages)
}
