//! Bodies that are not what was written: the reader gets an error that names the object, or an answer that breaks off, and
//! never wrong bytes; other objects are served, and a new put heals.

use std::{fs, path::Path};

use axum::http::StatusCode;

use crate::{Answer, MIB, Room, bytes};

fn flip(file: &Path, at: usize) {
    let mut content = fs::read(file).unwrap();
    content[at] ^= 0x10;
    fs::write(file, content).unwrap();
}

type Damage = fn(&Path);

fn assert_names(what: &str, answer: &Answer, key: &str) {
    let (code, message) = answer.error().unwrap();
    assert_eq!((answer.status, code), (StatusCode::INTERNAL_SERVER_ERROR, 10_001));
    assert!(message.contains(&format!("`{key}`")) && message.contains("`bucket`"), "{what}: {message}");
}

#[tokio::test]
async fn a_damaged_file_is_an_error_that_names_the_object_and_others_are_served() {
    let room = Room::new().await;
    let content = bytes(3 * MIB);
    assert_eq!(room.put("sound", b"sound").await.code(), None);
    let damages: [(&str, Damage); 5] = [
        ("a bit of the first block", |file| flip(file, 5)),
        ("a bit of the first block's checksum", |file| flip(file, 3 * MIB)),
        ("cut off", |file| fs::write(file, &bytes(3 * MIB)[..MIB]).unwrap()),
        ("empty", |file| fs::write(file, "").unwrap()),
        ("gone", |file| fs::remove_file(file).unwrap()),
    ];
    for (what, damage) in damages {
        assert_eq!(room.put("key", &content).await.code(), None);
        damage(&room.files()[0]);
        let answer = room.get("key").await;
        assert_names(what, &answer, "key");
        assert_eq!(room.get("sound").await.value(), b"sound");
        assert_eq!(room.put("key", &content).await.code(), None, "a new put heals");
        assert!(room.get("key").await.value() == content);
        assert_eq!(room.delete("key").await.code(), None);
    }
}

#[tokio::test]
async fn an_answer_that_meets_damage_on_its_way_breaks_off_before_a_wrong_byte() {
    let room = Room::new().await;
    let content = bytes(3 * MIB);
    assert_eq!(room.put("key", &content).await.code(), None);
    flip(&room.files()[0], 2 * MIB + 7);
    let answer = room.get("key").await;
    assert!(answer.is_broken);
    assert!(answer.value() == &content[..2 * MIB], "{} bytes arrived", answer.value().len());
}
