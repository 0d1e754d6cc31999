use super::*;

fn offered(transport: Transport, pairs: &[(&str, &str)]) -> bool {
    let settings = Settings::read(|name| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    });
    Saved::offered(&settings.expect("valid"), transport).is_some()
}

#[test]
fn nothing_is_offered_that_could_not_work() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("file");
    std::fs::write(&file, [1; 32]).expect("written");
    let root = |path: &Path| path.to_str().expect("text").to_owned();
    let (fresh, below_a_file) = (root(&folder.path().join("not/yet")), root(&file.join("data")));
    let replica = [
        ("PEER_PORT", "9091"),
        ("POD_IP", "10.0.0.1"),
        ("POD_UID", "01234567-89ab-cdef-0123-456789abcdef"),
        ("SESSION_KEY_FILE", file.to_str().expect("text")),
        ("IAM_DATA_ROOT", &fresh),
    ];
    let with = |choice| [replica.as_slice(), &[("SAVED_JOBS", choice)]].concat();
    for (transport, pairs, expected) in [
        (Transport::Stdio, vec![("IAM_DATA_ROOT", fresh.as_str())], true),
        (Transport::Http, vec![("IAM_DATA_ROOT", fresh.as_str())], true),
        (
            Transport::Http,
            vec![("IAM_DATA_ROOT", below_a_file.as_str())],
            false,
        ),
        (
            Transport::Http,
            vec![("IAM_DATA_ROOT", below_a_file.as_str()), ("SAVED_JOBS", "local")],
            true,
        ),
        (Transport::Http, replica.to_vec(), false),
        (Transport::Stdio, replica.to_vec(), true),
        (Transport::Http, with("shared"), true),
        (Transport::Stdio, with("off"), false),
    ] {
        assert_eq!(offered(transport, &pairs), expected, "{transport:?} {pairs:?}");
    }
    assert!(!folder.path().join("not").exists(), "nothing is written at start");
}
