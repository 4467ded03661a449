use super::*;

/// What `arguments` come to: a command's name, or an exit code.
fn meaning(arguments: &[&str]) -> Result<String, u8> {
    let arguments = std::iter::once("serin").chain(arguments.iter().copied());
    match parse_from(arguments) {
        Ok(Command::Run(args)) => Ok(format!("run {}", args.config.display())),
        Ok(Command::Demo(args)) => Ok(format!("demo {:?} {} {}", args.fault, args.rps, args.json)),
        Ok(Command::Judge) => Ok("judge".into()),
        Ok(Command::Errand(errand)) => {
            let verb = format!("{:?}", errand.verb);
            Ok(verb.split([' ', '(']).next().unwrap_or_default().to_lowercase())
        }
        Err(error) => Err(exit::of_usage(&error)),
    }
}

#[test]
fn the_arguments_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn arguments_and_their_meaning() {
    let table: &[(&[&str], Result<&str, u8>)] = &[
        (&["run"], Ok("run proxy.toml")),
        (&["judge"], Ok("judge")),
        (&["run", "--config", "a.toml"], Ok("run a.toml")),
        (&["demo"], Ok("demo None 400 false")),
        (&["demo", "--fault", "errors", "--rps", "50", "--json"], Ok("demo Errors 50 true")),
        (&["demo", "--fault", "slow"], Ok("demo Slow 400 false")),
        (&["demo", "--fault", "crash"], Ok("demo Crash 400 false")),
        (&["demo", "--fault", "hang"], Ok("demo Hang 400 false")),
        (&["demo", "--fault", "unheard-of"], Err(64)),
        (&["demo", "--rps", "49"], Err(64)),
        (&["demo", "--rps", "5001"], Err(64)),
        (&["check"], Ok("check")),
        (&["check", "a.toml", "--json"], Ok("check")),
        (&["deploy", "shop", "--version", "42"], Ok("deploy")),
        (&["deploy", "shop", "a:1", "b:2", "--version", "42", "--wait"], Ok("deploy")),
        (&["deploy", "shop", "--version", "1", "--wait", "--timeout", "10m"], Ok("deploy")),
        (&["deploy", "shop", "--version", "1", "--strategy", "blue-green"], Ok("deploy")),
        (&["deploy", "shop"], Err(64)),
        (&["deploy", "shop", "no-port", "--version", "42"], Err(64)),
        (&["deploy", "shop", "--version", "1", "--timeout", "10m"], Err(64)),
        (&["deploy", "shop", "--version", "1", "--wait", "--timeout", "10"], Err(64)),
        (&["deploy", "shop", "--version", "1", "--strategy", "ab"], Ok("deploy")),
        (&["deploy", "shop", "--version", "1", "--strategy", "rolling"], Err(64)),
        (&["status"], Ok("status")),
        (&["--admin", "unix:/x", "status", "shop", "--watch"], Ok("status")),
        (&["status", "--admin", "http://x:1", "--token-file", "t", "--json"], Ok("status")),
        (&["weight", "shop", "5%", "--why", "a look"], Ok("weight")),
        (&["weight", "shop"], Err(64)),
        (&["promote", "shop", "--full"], Ok("promote")),
        (&["pause", "shop"], Ok("pause")),
        (&["pause", "shop", "--full"], Err(64)),
        (&["resume", "shop"], Ok("resume")),
        (&["abort", "shop", "--why", "x"], Ok("abort")),
        (&["undo", "shop"], Ok("undo")),
        (&["retry", "shop"], Ok("retry")),
        (&["plan", "shop"], Ok("plan")),
        (&["plan", "shop", "--rps", "0.5", "--config", "a.toml", "--error-rate", "1%"], Ok("plan")),
        (&["plan"], Err(64)),
        (&["plan", "shop", "--rps", "0"], Err(64)),
        (&["plan", "shop", "--rps", "nan"], Err(64)),
        (&["check", "--rps", "10"], Ok("check")),
        (&["check", "--rps", "-1"], Err(64)),
        (&["ready"], Ok("ready")),
        (&["ready", "shop", "--json"], Ok("ready")),
        (&["rehearse", "shop"], Ok("rehearse")),
        (&["rehearse"], Err(64)),
        (&["freeze"], Ok("freeze")),
        (&["freeze", "shop", "--until", "2h", "--why", "x"], Ok("freeze")),
        (&["thaw", "shop"], Ok("thaw")),
        (&["thaw", "--until", "2h"], Err(64)),
        (&["history", "shop"], Ok("history")),
        (&["explain", "42"], Ok("explain")),
        (&["drain", "shop/blue/10.0.0.1:80"], Ok("drain")),
        (&["enable", "shop/blue/[::1]:80"], Ok("enable")),
        (&["drain", "shop/blue"], Err(64)),
        (&["reload"], Ok("reload")),
        (&["completions", "zsh"], Ok("completions")),
        (&["completions", "tcsh"], Err(64)),
        (&["--help"], Err(0)),
        (&["deploy", "--help"], Err(0)),
        (&["--version"], Err(0)),
        (&[], Err(64)),
        (&["unheard-of"], Err(64)),
        (&["run", "--unheard-of"], Err(64)),
    ];
    for (arguments, want) in table {
        assert_eq!(meaning(arguments), want.map(str::to_owned), "{arguments:?}");
    }
}

#[test]
fn help_teaches() {
    let help = Cli::command().render_long_help().to_string();
    for needed in ["Examples:", "Exit codes:", "SERIN_ADMIN", "serin deploy shop"] {
        assert!(help.contains(needed), "{needed}\n{help}");
    }
}

#[test]
fn a_bad_address_is_bad_input() {
    let arguments = ["serin", "--admin", "https://x", "status"];
    let Ok(Command::Errand(errand)) = parse_from(arguments) else { panic!("no errand") };
    let failure =
        errand.attempt(&Out { json: false, terminal: false }, |_, _| Vec::new()).unwrap_err();
    assert_eq!(failure.code(), exit::USAGE);
}
