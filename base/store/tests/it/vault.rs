//! Sealed values.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use store::{Vault, VaultError};

#[test]
fn a_sealed_value_opens_after_a_restart_and_only_whole_and_for_its_purpose() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let vault = Vault::open(&path).unwrap();
    for plain in [b"".as_slice(), b"hunter2", &[7; 5000]] {
        let sealed = vault.seal("secret/hello/API_KEY", plain);
        let reopened = Vault::open(&path).unwrap();
        assert_eq!(reopened.open_sealed("secret/hello/API_KEY", &sealed).unwrap(), plain);
        assert_ne!(sealed, vault.seal("secret/hello/API_KEY", plain), "each sealing draws its own nonce");

        let error = vault.open_sealed("secret/other/API_KEY", &sealed).unwrap_err();
        assert!(error.to_string().contains("secret/other/API_KEY"), "{error}");
        for index in [0, 23, 24, sealed.len() - 1] {
            let mut tampered = sealed.clone();
            tampered[index] ^= 1;
            assert!(vault.open_sealed("secret/hello/API_KEY", &tampered).is_err(), "byte {index}");
        }
        assert!(vault.open_sealed("secret/hello/API_KEY", &sealed[..sealed.len() - 1]).is_err());
        assert!(vault.open_sealed("secret/hello/API_KEY", &sealed[..10]).is_err());
    }
    let other = Vault::open(&folder.path().join("other.key")).unwrap();
    assert!(other.open_sealed("a", &vault.seal("a", b"b")).is_err(), "another key opens nothing");
}

#[test]
fn the_key_is_for_the_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/master.key");
    Vault::open(&path).unwrap();
    let made = fs::metadata(&path).unwrap();
    assert_eq!((made.len(), made.permissions().mode() & 0o777), (32, 0o600));

    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let VaultError::Key(text) = Vault::open(&path).unwrap_err() else { panic!() };
    assert!(text.contains("chmod 600"), "{text}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 32, "a refused key is left alone");
}

#[test]
fn a_damaged_key_is_refused_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    fs::write(&path, "short").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(Vault::open(&path), Err(VaultError::Key(text)) if text.contains("5 bytes")));
    assert_eq!(fs::read(&path).unwrap(), b"short");
}
