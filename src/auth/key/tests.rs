//! Keys from files, descriptors, the environment and the terminal; creating them; key lists.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;

use nix::pty::openpty;
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::mkfifo;
use proptest::prelude::*;
use tempfile::TempDir;

use super::source::{read_key_file, read_keys_file, unasked};
use super::*;
use crate::exit::{Exit, Failure};
use crate::net::deadline::Deadline;

/// 32 bytes 0x00–0x1f, as a key line.
const LINE: &str = "sockctl-key-1 alice AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// A file with `content` that only its owner can read.
fn file(folder: &TempDir, content: &[u8]) -> PathBuf {
    let path = folder.path().join("k");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

fn read(content: &[u8]) -> Result<Key, Failure> {
    read_key_file(&file(&TempDir::new().unwrap(), content))
}

/// The error line of a failure that must end with status 2 and show nothing of `SECRET`.
fn usage<T>(result: Result<T, Failure>) -> String {
    let failure = result.err().unwrap();
    let line = failure.to_string();
    assert_eq!(failure.exit, Exit::Usage, "{line}");
    assert!(!line.contains("SECRET") && !line.contains('\n'), "{line}");
    line
}

#[test]
fn a_key_does_not_show_its_bytes() {
    let key = Key::parse(b"wangwang").unwrap();
    assert_eq!(format!("{key:?}"), "Key { name: None, .. }");
}

#[test]
fn row_54_one_trailing_newline_is_stripped_and_nothing_else() {
    for (content, key) in [
        (&b"wangwang"[..], &b"wangwang"[..]),
        (b"wangwang\n", b"wangwang"),
        (b"wangwang\r\n", b"wangwang"),
        (b"wangwang\n\n", b"wangwang\n"),
        (b"wangwang\r", b"wangwang\r"),
        (b" a b\t", b" a b\t"),
        (b"\0\xff\xef\xbb\xbf\0", b"\0\xff\xef\xbb\xbf\0"),
        (b"\xef\xbb\xbfkey", b"\xef\xbb\xbfkey"),
        (b"two\nlines\n", b"two\nlines"),
        (b"NAME:KEY", b"NAME:KEY"),
    ] {
        let read = read(content).unwrap();
        assert_eq!(read.bytes(), key);
        assert_eq!(read.name, None);
    }
}

#[test]
fn row_54_an_empty_key_is_refused() {
    for content in [&b""[..], b"\n", b"\r\n"] {
        assert!(usage(read(content)).contains("the key is empty"));
    }
    assert!(usage(read(b"\0\0\n")).contains("NUL"));
}

#[test]
fn a_key_line_means_its_bytes() {
    let bytes: Vec<u8> = (0..32).collect();
    for end in ["", "\n", "\r\n"] {
        let key = read(format!("{LINE}{end}").as_bytes()).unwrap();
        assert_eq!(key.name.as_deref(), Some("alice"));
        assert_eq!(key.bytes(), bytes);
    }
}

#[test]
fn a_damaged_key_line_is_refused() {
    let (start, end) = LINE.split_at(LINE.len() - 1);
    for line in [
        format!("{LINE}="),
        format!("{LINE} "),
        format!("{LINE}\n\n"),
        format!("{LINE}\n{LINE}\n"),
        format!("{start}+"),
        format!("{start}/"),
        // The last character carries bits beyond the 32nd byte.
        format!("{start}9"),
        start.to_string(),
        format!("{LINE}{end}"),
        LINE.replace("alice", ""),
        LINE.replace("alice", "al/ice"),
        LINE.replace("alice", &"a".repeat(33)),
        LINE.replace("alice ", ""),
        "sockctl-key-1 ".to_string(),
    ] {
        assert!(usage(read(line.as_bytes())).contains("damaged"), "{line:?}");
    }
}

#[test]
fn row_55_a_key_over_4_kib_is_refused() {
    assert_eq!(read(&[b'k'; 4096]).unwrap().bytes().len(), 4096);
    let mut longest = vec![b'k'; 4096];
    longest.extend(b"\r\n");
    assert_eq!(read(&longest).unwrap().bytes().len(), 4096);
    longest.insert(0, b'k');
    assert!(usage(read(&longest)).contains("over 4 KiB"));
    assert!(usage(read(&[b'k'; 4097])).contains("over 4 KiB"));
    assert!(usage(read(&vec![b'\n'; 1 << 20])).contains("over 4 KiB"));
}

#[test]
fn row_55_a_file_that_others_can_read_is_refused_with_the_fix() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, b"SECRET");
    for (mode, cause) in [
        (0o644, "others can read it (mode 0644)"),
        (0o640, "others can read it (mode 0640)"),
        (0o604, "others can read it (mode 0604)"),
        (0o620, "others can write it (mode 0620)"),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let shown = path.display();
        let line = format!("read key from {shown}: {cause}; chmod 600 {shown}");
        assert_eq!(usage(read_key_file(&path)), line);
        assert_eq!(usage(read_keys_file(&path, Deadline::NEVER)), line);
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    assert!(read_key_file(&path).is_ok());
}

#[test]
fn a_pipe_gives_a_key() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fifo");
    mkfifo(&path, Mode::from_bits_truncate(0o644)).unwrap();
    let writer = thread::spawn({
        let path = path.clone();
        move || fs::write(path, "wangwang\n").unwrap()
    });
    assert_eq!(read_key_file(&path).unwrap().bytes(), b"wangwang");
    writer.join().unwrap();
}

#[test]
fn a_descriptor_gives_a_key_whatever_the_mode() {
    let load = |fd| load(None, None, Some(fd));
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"wangwang\r\n").unwrap();
    drop(writer);
    assert_eq!(load(reader.as_raw_fd()).unwrap().first().bytes(), b"wangwang");

    let folder = TempDir::new().unwrap();
    let path = file(&folder, LINE.as_bytes());
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let file = File::open(path).unwrap();
    assert_eq!(load(file.as_raw_fd()).unwrap().first().bytes().len(), 32);

    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(usage(load(socket.as_raw_fd())).contains("must be a file or a pipe"));
    for fd in [-1, 1 << 20] {
        let line = usage(load(fd));
        assert!(line.starts_with(&format!("read key from descriptor {fd}: it is not open")));
    }
}

#[test]
fn an_option_beats_the_variable_which_beats_the_prompt() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, b"filed\n");
    assert_eq!(load(Some(&path), None, None).unwrap().first().bytes(), b"filed");
    // An option that fails is not replaced by another source.
    usage(load(Some(&folder.path().join("missing")), None, None));
    let typed = || Ok(Zeroizing::new(b"typed".to_vec()));
    assert_eq!(unasked(None, typed).unwrap().first().bytes(), b"typed");
    let unused = || -> Result<Zeroizing<Vec<u8>>, Failure> { panic!("asked") };
    assert_eq!(unasked(Some("set".into()), unused).unwrap().first().bytes(), b"set");
    let line = usage(unasked(Some("".into()), unused));
    assert!(line.starts_with("read key from SOCKCTL_KEY: the key is empty"));
}

#[test]
fn a_keys_file_names_its_keys() {
    let content =
        format!("# ours\nbob:wangwang\r\n\n  \nc.d_e-1:with:colons \n{LINE}\r\nlast:\0\u{fffd}");
    let ring = read_keys_file(&file(&TempDir::new().unwrap(), content.as_bytes()), Deadline::NEVER)
        .unwrap();
    let keys: Vec<(&str, &[u8])> =
        ring.keys().iter().map(|key| (key.name.as_deref().unwrap(), key.bytes())).collect();
    let bytes: Vec<u8> = (0..32).collect();
    assert_eq!(
        keys,
        [
            ("bob", &b"wangwang"[..]),
            ("c.d_e-1", b"with:colons "),
            ("alice", &bytes),
            ("last", b"\0\xef\xbf\xbd"),
        ]
    );
}

#[test]
fn a_keys_file_error_names_the_line_and_no_key() {
    for (content, why) in [
        ("a:1\nSECRET\n".to_string(), "line 2: neither NAME:KEY"),
        (":SECRET".to_string(), "line 1: neither"),
        ("a b:SECRET".to_string(), "line 1: neither"),
        (format!("{}:SECRET", "n".repeat(33)), "line 1: neither"),
        ("\u{feff}a:SECRET".to_string(), "line 1: neither"),
        ("\n\na:\n".to_string(), "line 3: the key is empty"),
        (format!("a:{}", "k".repeat(4097)), "line 1: the key is over 4 KiB"),
        ("a:SECRET1\nb:2\nA:SECRET3".to_string(), "line 3: the name of line 1"),
        ("a:SECRET\n\nb:SECRET".to_string(), "line 3: the key of line 1"),
        // HMAC pads with NULs: one key, written twice.
        ("a:SECRET\nb:SECRET\0\0".to_string(), "line 2: the key of line 1"),
        (format!("a:{LINE}"), "line 1: a sockctl-key-1 line carries"),
        ("sockctl-key-1 a SECRET".to_string(), "line 1: a damaged"),
        (String::new(), "no key in it"),
        ("# nothing\n\n".to_string(), "no key in it"),
    ] {
        let error = Keyring::parse(content.as_bytes()).unwrap_err();
        assert!(error.starts_with(why), "{error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
}

#[test]
fn a_keyring_holds_64_keys() {
    let lines = |n: usize| {
        let lines: Vec<String> = (0..n).map(|i| format!("n{i}:k{i}")).collect();
        lines.join("\n")
    };
    assert_eq!(Keyring::parse(lines(64).as_bytes()).unwrap().keys().len(), 64);
    let error = Keyring::parse(lines(65).as_bytes()).unwrap_err();
    assert_eq!(error, "line 65: more than 64 keys");
}

#[test]
fn row_55_a_keys_file_over_64_kib_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut content = b"a:wangwang\n".to_vec();
    content.resize(64 * 1024, b'\n');
    assert!(read_keys_file(&file(&folder, &content), Deadline::NEVER).is_ok());
    content.push(b'\n');
    let line = usage(read_keys_file(&file(&folder, &content), Deadline::NEVER));
    assert!(line.contains("over 64 KiB"));
}

#[test]
fn a_created_key_can_be_read_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new");
    create_key(&path, None).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode(), 0o100_600);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.len(), "sockctl-key-1 default ".len() + 43 + 1);
    let key = read_key_file(&path).unwrap();
    assert_eq!(key.name.as_deref(), Some("default"));

    let other = folder.path().join("other");
    create_key(&other, Some("bob")).unwrap();
    let other = read_key_file(&other).unwrap();
    assert_eq!(other.name.as_deref(), Some("bob"));
    assert_ne!(other.bytes(), key.bytes());
}

#[test]
fn a_key_is_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, b"old");
    assert!(usage(create_key(&path, None)).contains("(EEXIST 17); a key is never overwritten"));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    usage(create_key(&link, None));
    assert!(!folder.path().join("elsewhere").exists());
    for name in ["", "a b", "é", &"a".repeat(33)] {
        let path = folder.path().join("unmade");
        usage(create_key(&path, Some(name)));
        assert!(!path.exists());
    }
}

/// What `ask` makes of `typed` at a terminal, and all that the terminal showed.
fn typed(typed: &[u8]) -> (Result<Zeroizing<Vec<u8>>, Failure>, String) {
    let pty = openpty(None, None).unwrap();
    let mut master = File::from(pty.master);
    let slave = File::from(pty.slave);
    let before = tcgetattr(&slave).unwrap();
    let asked = thread::scope(|scope| {
        let asked = scope.spawn(|| ask::at(&slave));
        let mut prompt = [0; 5];
        master.read_exact(&mut prompt).unwrap();
        assert_eq!(&prompt, b"key: ");
        assert!(!tcgetattr(&slave).unwrap().local_flags.contains(LocalFlags::ECHO));
        master.write_all(typed).unwrap();
        asked.join().unwrap()
    });
    assert_eq!(tcgetattr(&slave).unwrap(), before, "modes were not restored");
    // A mark of our own bounds what there is to read.
    (&slave).write_all(b"|").unwrap();
    let mut shown = Vec::new();
    while shown.last() != Some(&b'|') {
        let mut byte = [0];
        master.read_exact(&mut byte).unwrap();
        shown.extend(byte);
    }
    (asked, String::from_utf8(shown).unwrap())
}

#[test]
fn a_key_is_typed_without_echo() {
    for (keys, key) in [
        (&b"wangwang\n"[..], &b"wangwang"[..]),
        (b"wangwang\r", b"wangwang"),
        (b"x\x15wangx\x7fwang\n", b"wangwang"),
        (b"wang\x04wang\n", b"wangwang"),
        (b"\x04", b""),
    ] {
        let (asked, shown) = typed(keys);
        assert_eq!(asked.unwrap().as_slice(), key);
        assert!(shown == "\r\n|" || key.is_empty(), "{shown:?}");
    }
}

#[test]
fn ctrl_c_ends_the_typing_with_130() {
    let (asked, shown) = typed(b"wang\x03");
    assert_eq!(asked.unwrap_err().exit, Exit::Interrupted);
    assert_eq!(shown, "\r\n|");
}

#[test]
fn a_typed_line_that_the_kernel_cuts_is_refused() {
    let mut line = vec![b'k'; 4000];
    line.push(b'\n');
    assert_eq!(typed(&line).0.unwrap().len(), 4000);
    let mut line = vec![b'k'; 5000];
    line.push(b'\n');
    assert!(usage(typed(&line).0).contains("too long to type"));
}

proptest! {
    #[test]
    fn any_bytes_are_a_key_or_an_error(content in any::<Vec<u8>>()) {
        let _ = Keyring::parse(&content);
        if let Ok(key) = Key::parse(&content) {
            prop_assert!(content.starts_with(key.bytes()));
        }
    }

    #[test]
    fn a_flipped_bit_in_a_key_line_never_gives_the_same_key(at in 0..LINE.len() * 8) {
        let mut line = LINE.as_bytes().to_vec();
        line[at / 8] ^= 1 << (at % 8);
        let bytes: Vec<u8> = (0..32).collect();
        if let Ok(key) = Key::parse(&line) {
            let named = key.name.as_ref().is_some_and(|name| name != "alice");
            prop_assert!(named || key.bytes() != bytes);
        }
    }
}
