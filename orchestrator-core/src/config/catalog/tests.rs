#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::error::Problem;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, file: &str, text: &str) -> &Self {
        let file = self.0.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self
    }

    /// Writes the usual file of an instance, with more lines.
    fn instance(&self, name: &str, more: &str) -> &Self {
        self.write(&format!("{name}/config.yaml"), &format!("name: {name}\nmodel: {{ path: /m.gguf }}\n{more}\n"))
    }

    fn scan(&self) -> InstanceCatalog {
        InstanceCatalog::scan(self.0.path())
    }

    /// The errors as people see them.
    fn errors(&self) -> String {
        let show = |error: &ConfigError| {
            let problem = Problem::from_error(error);
            format!("error: {problem}\nhint: {}\n", problem.hint.as_deref().unwrap_or("none"))
        };
        let text: String = self.scan().errors().into_iter().map(show).collect();
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn usable(catalog: &InstanceCatalog) -> Vec<&str> {
    catalog.specs().map(|spec| spec.name.as_str()).collect()
}

#[test]
fn a_home_without_instances_is_fine() {
    let home = Home::new();
    assert!(home.scan().entries.is_empty());
    let catalog = InstanceCatalog::scan(&home.0.path().join("missing"));
    assert!(catalog.entries.is_empty() && catalog.problems.is_empty());
}

#[test]
fn instances_are_found_by_name_whatever_their_file_is_called() {
    let home = Home::new();
    home.instance("b", "").write("a/config.json", r#"{"name": "a", "model": {"path": "m.gguf"}}"#);
    home.write("c/config.yml", "name: c\nmodel: { ref: hf:owner/repo }\n");
    home.write(".hidden/config.yaml", "nonsense").write("notes.txt", "nonsense");
    fs::create_dir(home.0.path().join("empty")).unwrap();
    let catalog = home.scan();
    assert_eq!(usable(&catalog), ["a", "b", "c"]);
    assert_eq!(catalog.errors().len(), 0);
    let entry = catalog.find(&InstanceName::try_new("a").unwrap()).unwrap();
    let path = home.0.path().join("a/m.gguf");
    assert_eq!(entry.spec.as_ref().unwrap().model.reference.as_file().unwrap(), path);
}

#[test]
fn a_broken_instance_does_not_spoil_the_others() {
    let home = Home::new();
    home.instance("good", "").instance("bad", "port: 1").write("wrong-name/config.yaml", "name: other\nmodel: { path: /m }\n");
    home.write("Bad Name/config.yaml", "").write("toml/config.toml", "");
    assert_eq!(usable(&home.scan()), ["good"]);
    insta::assert_snapshot!(home.errors());
}

#[test]
fn two_files_in_one_folder_are_a_conflict() {
    let home = Home::new();
    home.instance("a", "").write("a/config.json", "{}");
    insta::assert_snapshot!(home.errors());
}

#[test]
fn two_instances_with_one_port_spoil_each_other_and_nobody_else() {
    let home = Home::new();
    home.instance("a", "server: { port: 8601 }").instance("b", "server: { port: 8601 }").instance("c", "server: { port: 8602 }");
    home.instance("d", "server: { port: 8601, host: '::1' }");
    assert_eq!(usable(&home.scan()), ["c", "d"]);
    insta::assert_snapshot!(home.errors());
}

#[test]
fn two_instances_with_one_alias_spoil_each_other() {
    let home = Home::new();
    home.instance("a", "aliases: [x, y]").instance("b", "aliases: [x]").instance("c", "aliases: [z]");
    assert_eq!(usable(&home.scan()), ["c"]);
    insta::assert_snapshot!(home.errors());
}

#[test]
fn instances_that_share_several_things_are_told_all_of_them() {
    let home = Home::new();
    let more = "aliases: [x]\nserver: { port: 8601 }";
    home.instance("a", more).instance("b", more);
    assert_eq!(home.scan().errors().len(), 2);
}

#[test]
fn an_alias_that_is_the_name_of_another_spoils_only_the_one_that_takes_it() {
    let home = Home::new();
    home.instance("a", "").instance("b", "aliases: [a]").instance("broken", "port: 1").instance("c", "aliases: [broken]");
    assert_eq!(usable(&home.scan()), ["a"]);
    insta::assert_snapshot!(home.errors());
}

#[test]
fn what_is_no_file_is_reported_and_never_waited_for() {
    let home = Home::new();
    fs::create_dir_all(home.0.path().join("folder/config.yaml")).unwrap();
    fs::create_dir_all(home.0.path().join("dangling")).unwrap();
    std::os::unix::fs::symlink("nowhere", home.0.path().join("dangling/config.yaml")).unwrap();
    let pipe = home.0.path().join("pipe");
    fs::create_dir_all(&pipe).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, pipe.join("config.yaml"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    insta::assert_snapshot!(home.errors());
}

#[test]
fn a_file_that_may_not_be_read_is_reported() {
    let home = Home::new();
    home.instance("a", "");
    let file = home.0.path().join("a/config.yaml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything.
    if fs::read(&file).is_err() {
        assert!(home.errors().contains("check its owner and its permissions"));
    }
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let home = Home::new();
    home.instance("a", &"# padding\n".repeat(200_000));
    insta::assert_snapshot!(home.errors());
}
