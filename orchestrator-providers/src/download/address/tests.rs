#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;

fn policy(endpoints: &[&str]) -> AddressPolicy {
    let endpoints: Vec<_> = endpoints.iter().map(|text| Url::parse(text).unwrap()).collect();
    AddressPolicy::for_endpoints(&endpoints)
}

fn admits(policy: &AddressPolicy, url: &str) -> bool {
    policy.check(&Url::parse(url).unwrap()).is_ok()
}

#[test]
fn every_address_has_its_class() {
    use AddressClass::{LinkLocal, Loopback, Private, Public, Special};
    for (text, expected) in [
        ("1.1.1.1", Public),
        ("172.15.0.1", Public),
        ("172.32.0.1", Public),
        ("100.63.0.1", Public),
        ("127.0.0.1", Loopback),
        ("127.255.255.254", Loopback),
        ("10.0.0.1", Private),
        ("172.16.0.1", Private),
        ("172.31.255.255", Private),
        ("192.168.0.1", Private),
        ("100.64.0.1", Private),
        ("100.127.255.255", Private),
        ("169.254.169.254", LinkLocal),
        ("0.0.0.0", Special),
        ("224.0.0.1", Special),
        ("255.255.255.255", Special),
        ("240.0.0.1", Special),
        ("192.0.2.1", Special),
        ("198.18.0.1", Special),
        ("2606:4700::1111", Public),
        ("::1", Loopback),
        ("::", Special),
        ("::7f00:1", Special),
        ("::ffff:127.0.0.1", Loopback),
        ("::ffff:10.0.0.1", Private),
        ("::ffff:169.254.169.254", LinkLocal),
        ("::ffff:1.1.1.1", Public),
        ("64:ff9b::a00:1", Private),
        ("64:ff9b::101:101", Public),
        ("64:ff9b:1::1", Special),
        ("2002:7f00:1::", Loopback),
        ("2002:a9fe:a9fe::1", LinkLocal),
        ("2001::1", Special),
        ("2001:db8::1", Special),
        ("fc00::1", Private),
        ("fd12::1", Private),
        ("fe80::1", LinkLocal),
        ("fec0::1", Special),
        ("ff02::1", Special),
    ] {
        assert_eq!(AddressClass::of(text.parse().unwrap()), expected, "{text}");
    }
}

#[test]
fn a_source_on_the_internet_leads_nowhere_else() {
    let policy = policy(&["https://huggingface.co"]);
    assert!(admits(&policy, "https://cdn-lfs.hf.co/a"));
    assert!(admits(&policy, "https://1.1.1.1/a"));
    for url in [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://10.1.2.3/",
        "http://169.254.169.254/latest/meta-data",
        "http://100.100.100.200/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0:11434/",
        "file:///etc/passwd",
        "ftp://1.1.1.1/",
        "data:text/plain,a",
    ] {
        assert!(!admits(&policy, url), "{url} was admitted");
    }
}

#[test]
fn a_source_on_this_machine_may_lead_to_this_machine_and_to_nothing_private() {
    for endpoint in ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000", "http://hub.localhost"] {
        let policy = policy(&[endpoint]);
        assert!(admits(&policy, "http://127.0.0.1:9999/") && admits(&policy, "http://[::1]:9999/"), "{endpoint}");
        assert!(policy.admits_resolved("localhost", "127.0.0.1".parse().unwrap()));
        for url in ["http://10.0.0.1/", "http://169.254.169.254/", "http://0.0.0.0/", "http://[fd00::1]/"] {
            assert!(!admits(&policy, url), "{url} was admitted for {endpoint}");
        }
    }
}

#[test]
fn a_private_source_leads_to_itself_only() {
    let policy = policy(&["http://10.0.0.5:8000"]);
    assert!(admits(&policy, "http://10.0.0.5:9000/") && admits(&policy, "http://[::ffff:10.0.0.5]/"));
    assert!(!admits(&policy, "http://10.0.0.6/") && !admits(&policy, "http://127.0.0.1/"));
}

#[test]
fn a_name_that_was_configured_may_be_private_and_no_other_name_may() {
    let policy = policy(&["http://Hub.Corp.example"]);
    let private = "10.0.0.5".parse().unwrap();
    assert!(policy.admits_resolved("hub.corp.example", private) && policy.admits_resolved("hub.corp.example.", private));
    assert!(policy.admits_resolved("cdn.example", "1.1.1.1".parse().unwrap()));
    assert!(!policy.admits_resolved("evil.example", private) && !policy.admits(private));
    assert!(!policy.admits_resolved("hub.corp.example", "169.254.169.254".parse().unwrap()));
}
