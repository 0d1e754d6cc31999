use super::*;

fn offered(transport: Transport, pairs: &[(&str, &str)]) -> bool {
    let settings = Settings::read(|name| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    });
    Saved::offered(&settings.expect("valid"), transport, CancellationToken::new()).is_some()
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

const ALICE: Principal = Principal::from_bytes([1; 16]);
const BOB: Principal = Principal::from_bytes([2; 16]);

fn job(id: &str, title: &str) -> Job {
    serde_json::from_value(serde_json::json!({
        "job_id": id, "title": title, "company": "Acme", "location": "Berlin",
        "description": "Work.", "apply_link": "https://example.com/", "remote": false,
    }))
    .expect("a job")
}

async fn save(saved: &Saved, owner: Principal, id: &str, title: &str) {
    let kept = saved.save(owner, vec![job(id, title)]).await.expect("ran");
    assert!(kept.iter().all(Result::is_ok), "{kept:?}");
}

async fn news(listener: &Listener) -> News {
    tokio::time::timeout(std::time::Duration::from_secs(20), listener.next())
        .await
        .expect("in time")
}

fn wants(list: bool, jobs: &[&str]) -> Wants {
    Wants {
        list,
        jobs: jobs.iter().map(|id| ((*id).to_owned(), JobKey::of(id))).collect(),
    }
}

fn heard(list: bool, jobs: &[&str]) -> News {
    News {
        list,
        jobs: jobs.iter().map(|id| (*id).to_owned()).collect(),
    }
}

#[tokio::test]
async fn each_hears_what_it_asked_for_of_its_own() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let saved = Saved::new(folder.path(), CancellationToken::new());
    save(&saved, ALICE, "a", "Nurse").await;
    let list = saved.listen(ALICE, wants(true, &[]), None).await.expect("heard");
    let one = saved
        .listen(ALICE, wants(false, &["a"]), None)
        .await
        .expect("heard");
    let bobs = saved
        .listen(BOB, wants(true, &["a", "b"]), None)
        .await
        .expect("heard");
    save(&saved, ALICE, "a", "Chef").await;
    assert_eq!(news(&one).await, heard(false, &["a"]));
    save(&saved, ALICE, "b", "Nurse").await;
    assert_eq!(news(&list).await, heard(true, &[]));
    saved.remove(ALICE, vec!["a".to_owned()]).await.expect("ran");
    assert_eq!(news(&one).await, heard(false, &["a"]));
    assert_eq!(news(&list).await, heard(true, &[]));
    one.unwant("a");
    assert!(one.want("b", JobKey::of("b")));
    save(&saved, ALICE, "a", "Nurse").await;
    save(&saved, ALICE, "b", "Chef").await;
    assert_eq!(news(&one).await, heard(false, &["b"]));
    save(&saved, BOB, "b", "Nurse").await;
    assert_eq!(news(&bobs).await, heard(true, &["b"]), "his own alone");
}

/// Another replica on the same volume: nobody tells this process.
#[tokio::test]
async fn what_another_process_saves_is_heard_of_too() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let [here, there] = [0, 1].map(|_| Saved::new(folder.path(), CancellationToken::new()));
    let listener = here
        .listen(ALICE, wants(true, &["a"]), None)
        .await
        .expect("heard");
    save(&there, ALICE, "a", "Nurse").await;
    assert_eq!(news(&listener).await, heard(true, &["a"]));
    save(&there, ALICE, "a", "Chef").await;
    assert_eq!(news(&listener).await, heard(false, &["a"]));
}

#[tokio::test]
async fn what_happened_since_is_news() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let saved = Saved::new(folder.path(), CancellationToken::new());
    let start = SystemTime::now() - std::time::Duration::from_secs(1);
    save(&saved, ALICE, "a", "Nurse").await;
    let later = saved
        .listen(ALICE, wants(true, &["a"]), Some(start))
        .await
        .expect("heard");
    assert_eq!(news(&later).await, heard(true, &["a"]));
}

#[tokio::test]
async fn nobody_is_watched_for_whom_nobody_listens() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let saved = Saved::new(folder.path(), CancellationToken::new());
    let listener = saved.listen(ALICE, wants(true, &[]), None).await.expect("heard");
    drop(listener);
    let gone = async {
        while saved.changes.is_watching() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone)
        .await
        .expect("forgotten");
}
