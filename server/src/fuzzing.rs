//! What the fuzz targets do (`fuzz/`): each takes any bytes, gives them to a parser that meets the network, and panics
//! when what comes of it is not as it must be. Their seeds are run as ordinary tests.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "this is test code, and ends where it stands"
)]

mod access;
mod peers;
mod served;
mod sessions;
mod text;

pub use self::{
    access::{forwarded, issuer},
    peers::{peer_frames, peer_headers, peer_hello},
    served::{http, sse_message, tool_call},
    sessions::{resumption, session_id},
    text::{host_and_origin, place, query, tokens_file},
};

/// What a target does with bytes.
pub type Target = fn(&[u8]);

/// Every target, by its name in `fuzz/fuzz_targets` and `fuzz/seeds`.
pub const TARGETS: [(&str, Target); 14] = [
    ("forwarded", forwarded),
    ("host_and_origin", host_and_origin),
    ("http", http),
    ("issuer", issuer),
    ("peer_frames", peer_frames),
    ("peer_headers", peer_headers),
    ("peer_hello", peer_hello),
    ("place", place),
    ("query", query),
    ("resumption", resumption),
    ("session_id", session_id),
    ("sse_message", sse_message),
    ("tokens_file", tokens_file),
    ("tool_call", tool_call),
];

/// Runs something to its end, on one thread, so that it runs the same way each time.
fn run<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn names(folder: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder);
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: fs::DirEntry| {
            entry
                .file_name()
                .to_string_lossy()
                .trim_end_matches(".rs")
                .to_owned()
        };
        entries.map(|entry| name(entry.expect("an entry"))).collect()
    }

    #[test]
    fn each_target_passes_its_seeds() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
        for (name, target) in TARGETS {
            let mut some = 0;
            for seed in fs::read_dir(seeds.join(name)).expect("seeds") {
                target(&fs::read(seed.expect("an entry").path()).expect("a seed"));
                some += 1;
            }
            assert!(some > 0, "{name} has no seed");
            let large = vec![255; 70_000];
            for bytes in [&b""[..], &[0], &large, "\u{e4}\0\r\n:;,=&".as_bytes()] {
                target(bytes);
            }
        }
    }

    #[test]
    fn each_target_can_be_run() {
        let listed: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names("fuzz_targets"), listed);
        assert_eq!(names("seeds"), listed);
    }
}
