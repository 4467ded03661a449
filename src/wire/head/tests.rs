use super::*;

const LIMITS: HeadLimits = HeadLimits { fields: 100, bytes: 32 << 10, target_bytes: 8 << 10 };

fn head(bytes: &str) -> Head {
    Head::take(bytes.as_bytes(), &LIMITS, 1 << 20).unwrap().unwrap().head
}

fn written(head: &Head) -> String {
    let mut out = Slab::new();
    head.write("10.0.0.1:80", &mut out);
    String::from_utf8(out.data().to_vec()).unwrap()
}

#[test]
fn a_head_goes_on_as_it_came_but_for_what_ends_here() {
    let bytes = "POST /a?b=c HTTP/1.1\r\nHost: Shop.Example.com:80\r\nconnection: x-a\r\nX-A: 1\r\n\
                 Accept: */*\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut head = head(bytes);
    assert_eq!((head.method(), head.path(), head.query()), ("POST", "/a", Some("b=c")));
    assert_eq!((head.authority(), head.host()), ("Shop.Example.com:80", "shop.example.com"));
    let before = head.clone();
    head.set(&Field::VIA, Value::of_static("1.1 serin"));
    head.set(&Field::X_FORWARDED_HOST, head.authority_value());
    assert_eq!(
        written(&head),
        "POST /a?b=c HTTP/1.1\r\nHost: Shop.Example.com:80\r\nAccept: */*\r\nvia: 1.1 serin\r\n\
         x-forwarded-host: Shop.Example.com:80\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    assert!(!before.has(&Field::VIA), "a clone is a copy");
}

#[test]
fn the_targets_authority_goes_upstream() {
    for (target, line, query) in [
        ("http://B:81", "GET / ", None),
        ("http://B:81?q", "GET /?q ", Some("q")),
        ("http://B:81/x?", "GET /x? ", Some("")),
    ] {
        let head = head(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!((head.host(), head.authority(), head.query()), ("b", "B:81", query));
        assert_eq!(written(&head), format!("{line}HTTP/1.1\r\nhost: B:81\r\n\r\n"));
    }
    let old = head("GET /x HTTP/1.0\r\n\r\n");
    assert_eq!((old.host(), old.version()), ("", "1.0"));
    assert_eq!(written(&old), "GET /x HTTP/1.1\r\nhost: 10.0.0.1:80\r\n\r\n");
}

#[test]
fn the_next_hop_is_told_of_upgrades_trailers_and_how_far_to_go() {
    for (fields, want) in [
        (
            "connection: upgrade\r\nupgrade: websocket\r\n",
            "connection: upgrade\r\nupgrade: websocket\r\n",
        ),
        ("connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: x\r\n", ""),
        ("te: gzip, trailers\r\n", "connection: te\r\nte: trailers\r\n"),
        ("max-forwards: 7\r\n", "max-forwards: 6\r\n"),
    ] {
        let head = head(&format!("OPTIONS /x HTTP/1.1\r\n{fields}host: a\r\n\r\n"));
        let want = format!("OPTIONS /x HTTP/1.1\r\nhost: a\r\n{want}\r\n");
        assert_eq!(written(&head), want, "{fields:?}");
    }
}
