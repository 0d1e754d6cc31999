use std::{os::unix::fs::symlink, sync::Arc};

use super::*;

const ALICE: Principal = Principal::from_bytes([1; 16]);
const BOB: Principal = Principal::from_bytes([2; 16]);

fn job(id: &str, title: &str) -> Job {
    serde_json::from_value(serde_json::json!({
        "job_id": id, "title": title, "company": "Acme", "location": "Berlin",
        "description": "Work.", "apply_link": "https://example.com/", "remote": false,
    }))
    .expect("a job")
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::new(folder.path());
    (folder, store)
}

fn titles(store: &Store, owner: Principal) -> Vec<String> {
    let listed = store.list(owner).expect("listed");
    listed.jobs.into_iter().map(|saved| saved.job.title).collect()
}

#[test]
fn what_is_saved_is_found_again_by_its_owner_alone() {
    let (_folder, store) = store();
    assert_eq!(store.save(ALICE, &job("a", "Nurse")).expect("saved"), Kept::Added);
    assert_eq!(
        store.save(ALICE, &job("a", "Nurse")).expect("saved"),
        Kept::Unchanged
    );
    let first = store.get(ALICE, "a").expect("read").expect("there");
    assert_eq!(
        store.save(ALICE, &job("a", "Chef")).expect("saved"),
        Kept::Updated
    );
    let second = store.get(ALICE, "a").expect("read").expect("there");
    assert_eq!(
        (second.saved_at, second.job.title.as_str()),
        (first.saved_at, "Chef")
    );
    assert!(titles(&store, BOB).is_empty());
    assert_eq!(store.get(BOB, "a").expect("read"), None);
    assert!(!store.remove(BOB, "a").expect("nothing to remove"));
    assert!(store.remove(ALICE, "a").expect("removed"));
    assert!(titles(&store, ALICE).is_empty());
}

#[test]
fn no_id_leads_out_of_the_folder() {
    let (folder, store) = store();
    let root = folder.path().join("data");
    let store = Store {
        folder: root.join("saved"),
        ..store
    };
    for id in ["../../escaped", "/etc/cron.d/x", "a/b", "..", "nul\0", "ä ö"] {
        store.save(ALICE, &job(id, id)).expect("saved");
        assert!(store.get(ALICE, id).expect("read").is_some(), "{id:?}");
    }
    let outside: Vec<_> = fs::read_dir(folder.path())
        .expect("read")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(outside, ["data"]);
    let owners = fs::read_dir(root.join("saved")).expect("read").count();
    assert_eq!(owners, 1);
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let (folder, store) = store();
    let elsewhere = tempfile::tempdir().expect("temporary folder");
    symlink(elsewhere.path(), folder.path().join("saved")).expect("a link");
    assert!(matches!(
        store.save(ALICE, &job("a", "x")),
        Err(Error::NotAFolder)
    ));
    fs::remove_file(folder.path().join("saved")).expect("removed");
    store.save(ALICE, &job("a", "x")).expect("saved");
    // A link where a posting's file would be: neither read nor written through.
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, "secret").expect("written");
    symlink(&secret, store.folder_of(ALICE).join(JobKey::of("b").file_name())).expect("a link");
    assert!(matches!(store.get(ALICE, "b"), Err(Error::Damaged(_))));
    assert!(matches!(
        store.save(ALICE, &job("b", "x")),
        Err(Error::Damaged(_))
    ));
    assert_eq!(fs::read_to_string(&secret).expect("read"), "secret");
}

#[test]
fn a_damaged_file_is_reported_and_left_as_it_is() {
    let (_folder, store) = store();
    store.save(ALICE, &job("a", "Nurse")).expect("saved");
    let path = store.folder_of(ALICE).join(JobKey::of("b").file_name());
    let swapped = fs::read(store.folder_of(ALICE).join(JobKey::of("a").file_name())).expect("read");
    let long = vec![b' '; MOST_BYTES + 1];
    let newer = String::from_utf8_lossy(&swapped).replace("\"format\": 1", "\"format\": 2");
    for content in [b"{ half a".as_slice(), b"", &swapped, newer.as_bytes(), &long] {
        fs::write(&path, content).expect("written");
        let listed = store.list(ALICE).expect("listed");
        assert_eq!(listed.jobs.len(), 1);
        assert_eq!(listed.damaged, [JobKey::of("b").file_name()]);
        assert!(matches!(
            store.save(ALICE, &job("b", "x")),
            Err(Error::Damaged(_))
        ));
        assert!(matches!(store.remove(ALICE, "b"), Err(Error::Damaged(_))));
        assert_eq!(fs::read(&path).expect("still there"), content);
    }
}

#[test]
fn number_and_size_are_bounded() {
    let (_folder, store) = store();
    for number in 0..MOST_JOBS {
        store.save(ALICE, &job(&number.to_string(), "x")).expect("room");
    }
    assert!(matches!(
        store.save(ALICE, &job("one more", "x")),
        Err(Error::Full)
    ));
    assert_eq!(
        store.save(ALICE, &job("7", "y")).expect("in place"),
        Kept::Updated
    );
    store.save(BOB, &job("one more", "x")).expect("room of his own");
    let long = Job {
        description: "x".repeat(MOST_BYTES),
        ..job("long", "x")
    };
    assert!(matches!(store.save(BOB, &long), Err(Error::TooLong)));
}

/// Two processes on one volume, each with a store of its own.
#[test]
fn saves_at_the_same_time_lose_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let stores = [0, 1].map(|_| Arc::new(Store::new(folder.path())));
    std::thread::scope(|scope| {
        for (number, store) in stores.iter().cycle().take(8).enumerate() {
            scope.spawn(move || {
                for turn in 0..10 {
                    store
                        .save(ALICE, &job(&format!("{number}-{turn}"), "x"))
                        .expect("saved");
                    store
                        .save(ALICE, &job("the same", &format!("{number}")))
                        .expect("saved");
                }
            });
        }
    });
    let listed = stores[0].list(ALICE).expect("listed");
    assert_eq!((listed.jobs.len(), listed.damaged.len()), (81, 0));
    let names = fs::read_dir(stores[0].folder_of(ALICE)).expect("read");
    let unfinished = names.filter(|name| {
        let name = name.as_ref().expect("an entry").file_name();
        name.to_string_lossy().starts_with(UNFINISHED)
    });
    assert_eq!(unfinished.count(), 0);
}

#[test]
fn what_a_killed_process_left_is_swept_up_later() {
    let (_folder, store) = store();
    store.save(ALICE, &job("a", "x")).expect("saved");
    let [old, new] = ["old", "new"].map(|name| store.folder_of(ALICE).join(format!("{UNFINISHED}{name}")));
    for path in [&old, &new] {
        fs::write(path, "half").expect("written");
    }
    let long_ago = SystemTime::now() - 2 * ABANDONED;
    File::options()
        .write(true)
        .open(&old)
        .expect("open")
        .set_modified(long_ago)
        .expect("set");
    store.save(ALICE, &job("b", "x")).expect("saved");
    assert!(!old.exists() && new.exists());
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_in_plain_words() {
    let (folder, _) = store();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let error = Store::new(&file.join("data"))
        .save(ALICE, &job("a", "x"))
        .expect_err("a file");
    assert!(error.to_string().contains("IAM_DATA_ROOT"), "{error}");
    assert!(Store::new(&file.join("data")).list(ALICE).is_err());
}
