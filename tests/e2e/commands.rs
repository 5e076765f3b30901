//! Commands that other tests do not run: each once, against a real gateway.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::gateway::{BINARY, Gateway};

/// A gateway, and a folder for the files of its users, in which commands run.
struct Desk {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        let text: String = more.iter().map(|(section, line)| format!("[{section}]\n{line}\n")).collect();
        std::fs::write(&config, text).unwrap();
        let gateway = Gateway::start(&folder.path().join("data"), &["--config", config.to_str().unwrap()]);
        Self { gateway, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn output(&self, arguments: &[&str]) -> Output {
        Command::new(BINARY)
            .args(arguments)
            .args(["--api", &self.gateway.api])
            .env_remove("RUSTDHT_API")
            .env_remove("RUSTDHT_TOKEN_FILE")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a command that succeeds; what it prints.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let (code, printed, said) = self.ended(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        printed
    }

    /// Exit code, what was printed, and what was said beside it.
    fn ended(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.output(arguments);
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        (status.code(), text(stdout), text(stderr))
    }

    /// Makes an account with a token in a file of its name; its key.
    fn user(&self, name: &str) -> String {
        let account: Value = serde_json::from_str(&self.run(&["user", "create", name, "--json"])).unwrap();
        self.file(name, &self.run(&["token", "create", "--user", name, "--scope", "write"]));
        account["key"].as_str().unwrap().to_owned()
    }
}

#[test]
fn share_and_unshare() {
    let desk = Desk::new(&[]);
    let (ada, charles) = (desk.user("ada"), desk.user("charles"));
    let diary = format!("~{ada}/diary");
    let put = |text: &str| desk.run(&["put", &diary, &format!("secret={text}"), "--token-file", "ada"]);
    let get = |who: &str| desk.run(&["get", &diary, "secret", "--token-file", who]);
    put("rosebud");
    let (code, printed, said) = desk.ended(&["share", &diary]);
    assert_eq!((code, printed.as_str()), (Some(0), ""));
    assert!(said.contains("not private"), "{said}");
    let shared = desk.run(&["share", &diary, "--with", "charles", "--token-file", "ada"]);
    let mut lines: Vec<&str> = shared.lines().collect();
    let mut wanted = [format!("{ada}  ada"), format!("{charles}  charles")];
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    assert_eq!((get("ada"), get("charles")), ("rosebud".to_owned(), "rosebud".to_owned()));
    assert!(!desk.run(&["get", &diary]).contains("rosebud"), "who runs the gateway is no reader");
    let (code, _, said) = desk.ended(&["unshare", &diary, "--with", "nobody", "--token-file", "ada"]);
    assert_eq!(code, Some(3), "{said}");
    let (code, _, said) = desk.ended(&["unshare", &diary, "--with", "ada", "--token-file", "charles"]);
    assert_eq!(code, Some(1), "{said}");
    let left = desk.run(&["unshare", &diary, "--with", "charles", "--token-file", "ada", "--json"]);
    let left: Value = serde_json::from_str(&left).unwrap();
    let current: Vec<&Value> =
        left["recipients"].as_array().unwrap().iter().filter(|one| one["current"] == true).collect();
    assert_eq!(current.len(), 1, "{left}");
    assert_eq!(current[0]["user"], "ada");
    put("sled");
    assert_eq!(get("ada"), "sled");
    assert!(get("charles").contains("enc"), "{}", get("charles"));
}

#[test]
fn schemas() {
    let desk = Desk::new(&[]);
    desk.file("person.json", r#"{"type":"object","required":["name"],"properties":{"born":{"type":"integer"}}}"#);
    assert_eq!(desk.run(&["schema", "put", "person", "person.json"]), "");
    let listed = desk.run(&["schema", "ls"]);
    assert!(listed.starts_with("person ") && listed.lines().count() == 1, "{listed}");
    let shown: Value = serde_json::from_str(&desk.run(&["schema", "show", "person"])).unwrap();
    assert_eq!(shown["required"][0], "name");
    let write = ["put", "people/ada", "type=person", "born=soon"];
    let (code, _, said) = desk.ended(&write);
    assert_eq!(code, Some(1));
    assert!(said.contains("schema_violation"), "{said}");
    desk.run(&["put", "people/ada", "type=person", "name=Ada", "born=1815"]);
    desk.file("broken.json", r#"{"type":7}"#);
    assert_eq!(desk.ended(&["schema", "put", "other", "broken.json"]).0, Some(1));
    let removed = desk.run(&["schema", "rm", "person", "--json"]);
    assert_eq!(removed, r#"{"removed":"person"}"#);
    assert_eq!(desk.ended(&["schema", "show", "person"]).0, Some(3));
    assert_eq!(desk.run(&["schema", "ls"]), "");
    desk.run(&write);
}

#[test]
fn a_check_of_the_graph_finds_and_mends() {
    let desk = Desk::new(&[]);
    desk.run(&["put", "people/ada", "name=Ada"]);
    let sound = desk.run(&["graph", "check"]);
    assert!(sound.lines().last().unwrap().starts_with("done"), "{sound}");
    desk.run(&["link", "people/ada", "knows", "people/nobody"]);
    let (code, found, said) = desk.ended(&["graph", "check"]);
    assert_eq!(code, Some(1), "{found} {said}");
    assert!(found.contains("people/nobody") && said.contains("--repair"), "{found} {said}");
    let (_, mended, said) = desk.ended(&["graph", "check", "--repair", "--json"]);
    let lines: Vec<Value> = mended.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done = lines.last().unwrap();
    assert_eq!((&done["event"], &done["complete"]), (&"done".into(), &true.into()), "{mended} {said}");
    assert_eq!((&done["findings"], &done["repaired"]), (&1.into(), &1.into()), "{mended}");
    desk.run(&["graph", "check"]);
    assert_eq!(desk.ended(&["get", "people/ada", "knows"]).0, Some(3));
    assert_eq!(desk.run(&["get", "people/ada", "name"]), "Ada");
}

#[test]
fn what_a_field_was_and_why_it_is_what_it_is() {
    let desk = Desk::new(&[]);
    desk.user("ada");
    desk.run(&["put", "people/ada", "city=London"]);
    desk.run(&["put", "people/ada", "city=Turin", "--token-file", "ada"]);
    let explained = desk.run(&["get", "people/ada", "city", "--explain"]);
    let lines: Vec<&str> = explained.lines().collect();
    assert_eq!(lines[0], "city  \"Turin\" (register)", "{explained}");
    assert!(lines[1].contains("\"Turin\"") && lines[1].contains("shown; its writer had seen #2"), "{explained}");
    assert!(lines[2].contains("\"London\"") && lines[2].contains("earlier than #1, which had seen it"), "{explained}");
    assert_eq!(lines.len(), 3, "{explained}");
    assert_eq!(desk.run(&["get", "people/ada", "--explain"]), explained);
    let json: Value = serde_json::from_str(&desk.run(&["get", "people/ada", "--explain", "--json"])).unwrap();
    assert_eq!((&json["field"], &json["meta"]["kind"]), (&"city".into(), &"register".into()));
    assert_eq!(desk.ended(&["get", "people/ada", "street", "--explain"]).0, Some(3));

    let history = desk.run(&["get", "people/ada", "city", "--history"]);
    assert!(history.lines().count() == 1 && history.contains("\"London\""), "{history}");
    let entry: Value = serde_json::from_str(&desk.run(&["get", "people/ada", "city", "--history", "--json"])).unwrap();
    assert_eq!((&entry["value"], &entry["reason"]), (&"London".into(), &"lower_stamp".into()), "{entry}");
    let (code, printed, said) = desk.ended(&["get", "people/ada", "street", "--history"]);
    assert_eq!((code, printed.as_str()), (Some(0), ""));
    assert!(said.contains("nothing is kept"), "{said}");
}

#[test]
fn an_invite_code_from_a_file_makes_one_account() {
    let desk = Desk::new(&[("gateway", "registration = \"invite\"\nanonymous = \"none\"")]);
    desk.file("code", &desk.run(&["user", "invite"]));
    desk.file("password", "a long password\n");
    // The code as the token: who asks is not the owner then.
    let create = |name: &str| {
        let arguments = ["user", "create", name, "--password-file", "password", "--invite-file", "code"];
        desk.ended(&[&arguments[..], &["--token-file", "code"]].concat())
    };
    let (code, printed, said) = create("eve");
    assert_eq!(code, Some(0), "{said}");
    assert!(printed.starts_with("name       eve"), "{printed}");
    let (code, _, said) = create("mallory");
    assert_eq!(code, Some(1), "{said}");
    assert!(desk.run(&["user", "ls"]).starts_with("eve "));
}
