//! Small files replaced whole.

use std::os::unix::fs::PermissionsExt;

use store::{StoreError, atomic_write};

#[test]
fn a_file_is_replaced_with_the_wanted_mode_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials.json");
    for (content, mode) in [("first", 0o600), ("second, longer", 0o644)] {
        atomic_write(&path, content.as_bytes(), mode).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_error_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = atomic_write(&folder.path().join("missing/credentials.json"), b"x", 0o600).unwrap_err();
    assert!(matches!(error, StoreError::File(_)));
    assert!(error.to_string().contains("missing/credentials.json"), "{error}");
}

#[tokio::test]
async fn what_is_kept_is_for_our_own_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("room/a.sqlite");
    let database = crate::open(&path);
    crate::put(&database, 1).await.unwrap();
    for (name, mode) in [("", 0o700), ("a.sqlite", 0o600), ("a.sqlite-wal", 0o600)] {
        let metadata = std::fs::metadata(folder.path().join("room").join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
    assert!(!folder.path().join("room/a.sqlite-shm").exists(), "other processes are told nothing");
}
