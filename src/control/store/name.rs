//! How the file of an ended rollout is called: `STARTED_MS-ID-HASH.json`, so that a list of names
//! says how old each is and, but for reading one file, whether it is the release that is asked for.

use super::Key;

/// What every file of the store that is read ends with.
pub(super) const SUFFIX: &str = ".json";
/// How much of a release's id a file name shows.
const ID_SHOWN: usize = 48;

/// The name of an ended rollout's file, read. By age, the oldest first.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Name {
    started_ms: u64,
    pub(super) service: String,
    pub(super) file: String,
    hash: String,
}

impl Name {
    /// `None` where it is no such name.
    pub(super) fn of(service: &str, file: String) -> Option<Self> {
        let stem = file.strip_suffix(SUFFIX)?;
        let (started, rest) = stem.split_once('-')?;
        let (_, hash) = rest.rsplit_once('-')?;
        let (started_ms, hash) = (started.parse().ok()?, hash.to_owned());
        Some(Self { started_ms, service: service.to_owned(), file, hash })
    }

    /// The name for `key`. An id may hold anything that can be printed; the name shows what of it
    /// is harmless.
    pub(super) fn file_of(key: &Key) -> String {
        let shown = key.id.chars().map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '+' => c,
            _ => '_',
        });
        let shown: String = shown.take(ID_SHOWN).collect();
        format!("{:013}-{shown}-{}{SUFFIX}", key.started_ms, hash(&key.id))
    }

    /// Whether the rollout is of release `id`; another id may look the same, and hardly ever does.
    pub(super) fn may_be_of(&self, id: &str) -> bool {
        self.hash == hash(id)
    }
}

fn hash(id: &str) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(id.as_bytes()))
}
