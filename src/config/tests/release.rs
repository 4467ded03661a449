//! Hooks, notices, the point of no return, and the programs that a release runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A folder with a file `proxy.toml` of `text` in it, and some programs.
fn check_in_a_folder(text: &str) -> (tempfile::TempDir, Result<Config, Errors>) {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(folder.path().join("bin")).unwrap();
    put("smoke.sh", 0o755);
    put("plain.txt", 0o644);
    put("bin/tool", 0o755);
    let path = format!("/nonexistent::{}", folder.path().join("bin").display());
    let environment = BTreeMap::from([("PATH".to_owned(), path)]);
    let read = Config::parse(text, &folder.path().join("proxy.toml"), &environment);
    (folder, read)
}

#[test]
fn a_program_is_found_before_anything_depends_on_it() {
    let hook = |words: &str| with(&format!("[services.shop.rollout]\nhooks.deploy = [{words}]"));
    for (words, want) in [
        ("\"./smoke.sh\", \"{pool}\"", vec!["./smoke.sh", "{pool}"]),
        ("\"bin/tool\"", vec!["bin/tool"]),
        ("\"tool\", \"-v\"", vec!["tool", "-v"]),
    ] {
        let (_folder, read) = check_in_a_folder(&hook(words));
        let config = read.unwrap_or_else(|errors| panic!("{errors}"));
        let want = want.into_iter().map(String::from).collect();
        assert_eq!(config.services["shop"].rollout.hooks.deploy, Some(Hook::Command(want)));
    }
    for (words, want, hint) in [
        ("\"./nope.sh\"", "`./nope.sh` does not exist (looked in FOLDER)", None),
        ("\"./smoke.sh/x\"", "`./smoke.sh/x` does not exist (looked in FOLDER)", None),
        ("\"/nope/x\"", "`/nope/x` does not exist", None),
        (
            "\"./smoke.sh -v\"",
            "`./smoke.sh -v` does not exist (looked in FOLDER)",
            Some("each argument is an element of the list: no shell takes the text apart"),
        ),
        (
            "\"./plain.txt\"",
            "`./plain.txt` is not executable (looked in FOLDER)",
            Some("run `chmod +x ./plain.txt`"),
        ),
        ("\"./bin\"", "`./bin` is a folder (looked in FOLDER)", None),
        (
            "\"nope\"",
            "`nope` is in no folder of PATH",
            Some("write its path, or add its folder to PATH"),
        ),
        (
            "\"smoke.sh\"",
            "`smoke.sh` is in no folder of PATH",
            Some("write \"./smoke.sh\" for the one beside this file"),
        ),
        ("\"./smoke.sh\", \"a\\u0000\"", "an argument must not hold a NUL", None),
        (
            "",
            "`deploy` must not be empty",
            Some("write the program and its arguments, such as [\"./smoke.sh\", \"{pool}\"]"),
        ),
    ] {
        let (folder, read) = check_in_a_folder(&hook(words));
        let errors = read.expect_err(words);
        let [problem] = errors.problems() else { panic!("{errors}") };
        assert_eq!(problem.message, want.replace("FOLDER", folder.path().to_str().unwrap()));
        assert_eq!(problem.hint.as_deref(), hint, "{words}");
    }
    // Where the environment names no PATH nobody can tell.
    let hooks = shop(&hook("\"nope\"")).rollout.hooks;
    assert_eq!(hooks.deploy, Some(Hook::Command(vec!["nope".into()])));
    // A gate is told the same.
    let gate = with("[[services.shop.gates]]\nname = \"a\"\ncommand = [\"./nope.sh\"]");
    let (_, read) = check_in_a_folder(&gate);
    assert!(read.unwrap_err().problems()[0].message.starts_with("`./nope.sh` does not exist"));
}

#[test]
fn a_hook_is_a_program_or_a_url() {
    let text = with(
        "[services.shop.rollout]\nhooks = { before_traffic = \"https://a/b\", each_step = \"http://a\", \
         before_promote = [\"x\"], after = [\"y\", \"{why}\"], retire = [\"z\"], rolled_back = [\"w\"], deadline = \"1m\" }",
    );
    let program = |words: &[&str]| Some(Hook::Command(words.iter().map(|&w| w.into()).collect()));
    let want = Hooks {
        deploy: None,
        before_traffic: Some(Hook::Webhook(url("https://a/b"))),
        each_step: Some(Hook::Webhook(url("http://a"))),
        before_promote: program(&["x"]),
        after: program(&["y", "{why}"]),
        retire: program(&["z"]),
        rolled_back: program(&["w"]),
        deadline: Duration::from_secs(60),
    };
    assert_eq!(shop(&text).rollout.hooks, want);
    for (hooks, at, want) in [
        (
            "deploy = \"./deploy.sh\"",
            "\"./deploy.sh\"",
            "a hook is a list of a program and its arguments, or a URL",
        ),
        (
            "after = \"http://u:p@a\"",
            "\"http",
            "a URL holds no user and no password: put the secret into a header or token",
        ),
        ("after = 5", "5", "`after` must be a list or a URL, not an integer"),
        ("after = [5]", "5", "each of `after` must be a string, not an integer"),
        ("deadline = \"0s\"", "\"0s\"", "`deadline` must be longer than 0"),
    ] {
        let text = with(&format!("[services.shop.rollout.hooks]\n{hooks}"));
        refused(&text, at, want);
    }
}

#[test]
fn a_notice_has_a_shape_and_an_address() {
    let notify = |list: &str| with(&format!("[services.shop.rollout]\nnotify = [{list}]"));
    let one = |list: &str| shop(&notify(list)).rollout.notify.remove(0);
    for (word, format) in [
        ("json", NotifyFormat::Json),
        ("slack", NotifyFormat::Slack),
        ("teams", NotifyFormat::Teams),
        ("alertmanager", NotifyFormat::Alertmanager),
    ] {
        let read = one(&format!("{{ webhook = \"http://a:9093\", format = \"{word}\" }}"));
        assert_eq!(read, Notify { webhook: url("http://a:9093"), format, routing_key: None });
    }
    assert_eq!(one("{ webhook = \"http://a\" }").format, NotifyFormat::Json);
    let usual = one("{ format = \"pagerduty\", routing_key = \"k3y\" }");
    assert_eq!(usual.webhook, url("https://events.pagerduty.com/v2/enqueue"));
    assert_eq!(
        (usual.format, usual.routing_key.as_deref()),
        (NotifyFormat::PagerDuty, Some("k3y"))
    );
    let own = one("{ format = \"pagerduty\", routing_key = \"k\", webhook = \"http://p/x\" }");
    assert_eq!(own.webhook, url("http://p/x"));
    for (list, at, want) in [
        (
            "{ format = \"pagerduty\" }",
            "{",
            "missing key `routing_key` in this element of `notify`",
        ),
        ("{ format = \"slack\" }", "{", "missing key `webhook` in this element of `notify`"),
        (
            "{ webhook = \"http://a\", routing_key = \"k\" }",
            "\"k\"",
            "`routing_key` belongs to format = \"pagerduty\"",
        ),
        (
            "{ webhook = \"http://a\", format = \"email\" }",
            "\"email\"",
            "`format` must be \"json\" or \"slack\" or \"teams\" or \"alertmanager\" or \"pagerduty\", not `email`",
        ),
        (
            "{ webhook = \"http://a:9093/api/v2/alerts\", format = \"alertmanager\" }",
            "\"http",
            "name the server only: /api/v2/alerts is added to it",
        ),
        (
            "{ webhook = \"hooks.slack.com/x\" }",
            "\"hooks",
            "this is not a URL: it begins with http:// or https://",
        ),
        ("\"https://a\"", "\"https", "each of `notify` must be a table, not a string"),
    ] {
        refused(&notify(list), at, want);
    }
}

#[test]
fn the_point_of_no_return_is_a_step_of_the_plan() {
    let from = |lines: &str| {
        shop(&with(&format!("[services.shop.rollout]\n{lines}"))).rollout.plan.irreversible_from
    };
    assert_eq!(from("irreversible_after = \"none\""), None);
    assert_eq!(
        (from("irreversible_after = 1"), from("irreversible_after = 5")),
        (Some(0), Some(4))
    );
    for (lines, at, want) in [
        ("irreversible_after = 6", "6", "`irreversible_after` must be from 1 to 5"),
        ("irreversible_after = 0", "0", "`irreversible_after` must be from 1 to 5"),
        (
            "irreversible_after = 2\nstrategy = \"blue-green\"",
            "2",
            "`irreversible_after` must be from 1 to 1",
        ),
        (
            "irreversible_after = \"25%\"",
            "\"25%\"",
            "`irreversible_after` must be \"none\" or the number of a step, not a string",
        ),
        // A plan that is wrong has no such point, and that is said once.
        ("irreversible_after = 9\nsteps = []", "[]", "a plan needs at least one step"),
    ] {
        refused(&with(&format!("[services.shop.rollout]\n{lines}")), at, want);
    }
}

#[test]
fn an_ab_split_has_one_step() {
    use crate::rollout::plan::{Strategy, default_steps};
    let plan = |lines: &str| shop(&with(&format!("[services.shop.rollout]\n{lines}"))).rollout.plan;
    let usual = plan("strategy = \"ab\"");
    assert_eq!((usual.strategy, &usual.steps), (Strategy::Ab, &default_steps(Strategy::Ab)));
    let own = plan("strategy = \"ab\"\nsteps = [{ weight = \"20%\" }]");
    assert_eq!((own.steps.len(), own.steps[0].weight.basis_points()), (1, 2_000));
    let two = "strategy = \"ab\"\nsteps = [{ weight = \"20%\" }, { weight = \"30%\" }]";
    let text = with(&format!("[services.shop.rollout]\n{two}"));
    refused(&text, "{ weight = \"30%\"", "an \"ab\" split holds one share, so it has one step");
}
