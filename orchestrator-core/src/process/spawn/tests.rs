//! What is held back from a server.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::is_held_back;

#[test]
fn secrets_and_what_is_ours_alone_are_held_back() {
    for name in
        ["HF_TOKEN", "OPENAI_API_KEY", "api_key", "X_SECRET", "DB_PASSWORD", "A_CREDENTIALS", "TOKEN", "NOTIFY_SOCKET", "LISTEN_FDS"]
    {
        assert!(is_held_back(OsStr::new(name)), "{name}");
    }
    for name in ["PATH", "HOME", "CUDA_VISIBLE_DEVICES", "MONKEY", "TOKENIZERS_PARALLELISM", "_KEYS", "SSH_AUTH_SOCK", "", "KE"] {
        assert!(!is_held_back(OsStr::new(name)), "{name}");
    }
    assert!(is_held_back(OsStr::from_bytes(b"\xff_TOKEN")));
}
