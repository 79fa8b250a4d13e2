//! Against the examples of RFC 7541 appendix C and blocks of another implementation.

use http::{HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The fields of a block as lines.
fn read(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    let done = decoder.decode(block, |field, _| {
        lines.push(match field {
            Field::Method(method) => method.to_string(),
            Field::Scheme => "scheme".into(),
            Field::Authority(host) => format!("@{}", String::from_utf8_lossy(host.as_bytes())),
            Field::Path(path) => path.to_string(),
            Field::Header(name, value) => format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())),
            Field::Malformed => "malformed".into(),
        });
    });
    done.ok().map(|()| lines)
}

/// Appendix C.3 and C.4: the same three requests, plain and coded, each on one connection.
const REQUESTS: [[&str; 3]; 2] = [
    [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ],
    [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ],
];

#[test]
fn the_examples_of_the_specification_read_as_they_should() {
    for blocks in REQUESTS {
        let mut decoder = Decoder::new();
        let lines = blocks.map(|block| read(&mut decoder, &hex(block)).expect("sound").join(" "));
        assert_eq!(lines[0], "GET scheme / @www.example.com");
        assert_eq!(lines[1], "GET scheme / @www.example.com cache-control: no-cache");
        assert_eq!(lines[2], "GET scheme /index.html @www.example.com custom-key: custom-value");
    }
    // C.2.2 and C.2.3: a literal that does not enter the table, one that never may.
    let mut decoder = Decoder::new();
    let path = read(&mut decoder, &hex("040c 2f73 616d 706c 652f 7061 7468"));
    assert_eq!(path.unwrap(), ["/sample/path"]);
    let secret = read(&mut decoder, &hex("1008 7061 7373 776f 7264 0673 6563 7265 74"));
    assert_eq!(secret.unwrap(), ["password: secret"]);
    assert_eq!(read(&mut decoder, &[0xbe]), None, "nothing entered the table");
}

/// Three blocks of one connection, made by hpack 4.2 of Python; before the last one its table was set to 0.
#[test]
fn blocks_of_another_encoder_read_as_they_were_written() {
    let mut decoder = Decoder::new();
    let one = "8287418d2c931572f91d35d05b8f34d33f44996283772b0363b858355217caf4b36bdfe458f3ee8a9455005d5383f9\
               63e77a99d07f66a281b0dae053fafc087ed4ce6aadf2a7979c89c6bfbf";
    let one = read(&mut decoder, &hex(one)).unwrap();
    let agent = "user-agent: Mozilla/5.0 (X11; Linux x86_64)";
    let host = "@edge.example:8443";
    let path = "/live/a/v1/index.m3u8?_HLS_msn=17";
    assert_eq!(one, ["GET", "scheme", host, path, "accept: */*", agent]);
    let two = read(&mut decoder, &hex("8287c1448d6283772b0363b8580babd2d23fc0bf")).unwrap();
    assert_eq!(two, ["GET", "scheme", host, "/live/a/v1/17.m4s", "accept: */*", agent]);
    assert_eq!(read(&mut decoder, &hex("208284")).unwrap(), ["GET", "/"]);
    assert_eq!(read(&mut decoder, &[0xbe]), None, "the table is empty");
}

/// All bytes in a row, by the same.
#[test]
fn every_symbol_has_its_code() {
    let all = "ffc7fffd8fffffe2fffffe3fffffe4fffffe5fffffe6fffffe7fffffe8ffffeafffffff3fffffa7fffffabffffff\
               dfffffebfffffecfffffedfffffeefffffefffffff0ffffff1ffffff2fffffffbfffffcffffffd3fffffd7fffffd\
               bfffffdffffffe3fffffe7fffffebfffffed4fe3f9ffaffcabf1febfafefe7fdfd2cbb00089969b71d79fb9f7fff\
               20ffbff3ff50ddbd7f061c58f265cd9f469d5af66dddbf871e5f9cff7ff7fffc3ff9ffe45fff4719242cb34e6e9d\
               68a6a3d7dac426defe3cfaf7fffbfe7ffbffdffffffcfffe6ffff4bfff9ffffa3fffd3ffff53fffd5ffffb3fffeb\
               7fffdaffffb7ffff73fffeeffffdeffffebffffbfffffd9ffffdbfffebffffe0ffffeeffffc3ffff8bffff1ffffe\
               4fffee7fffb1ffff97fffd9ffffcdffff9fffffbffffdafffeeffff4ffffb7fffee7fffe8ffffd3fffdeffffd5ff\
               feeffffbdffffe1fffdfffff7fffff5ffffecffff07fff87fffe0ffff17fffedffff87ffff77fffeffffeaffff8b\
               fffe3ffff93ffff87fffcbffff37ffff1fffff83ffffe1fffebfffe3ffff3fffff2ffffa3ffffd9fffff17ffffc7\
               fffff27ffffdefffffbffffff2fffff8fffffb7fff97fff8fffffe6fffffc1fffff87ffffe7fffffc5ffffe5fffe\
               4ffff2fffffd1fffff4ffffffefffffe3fffffc9fffff97fffb3ffffcffffb7fffcdffff4ffff9ffffd1ffffcfff\
               feaffffafffffddffffeffffff4fffff5fffffabffffa7ffffd7fffff9bffffecfffffb7fffff3fffffe8fffffd3\
               fffffabfffff5fffffff7ffffecfffffdbfffffbbfffff7ffffff0fffffbbf";
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(huffman::decode(&hex(all)), Some(bytes));
}

#[test]
fn what_is_garbled_is_told_and_what_no_request_may_have_is_marked() {
    for (name, block, fields) in [
        ("index 0", "80", None),
        ("an index beyond the tables", "be", None),
        ("a name beyond the tables", "7f 00 01 61", None),
        ("an integer that has no end", "ff ffff ffff ff", None),
        ("a string beyond the block", "00 01 61 05 62", None),
        ("a table larger than ours", "3f e2 1f", None),
        ("the largest table", "3f e1 1f 82", Some("GET")),
        ("a change of the table behind a field", "82 20", None),
        ("the code for the end", "00 01 61 84 ffff ffff", None),
        ("padding that is not of ones", "00 01 61 81 00", None),
        ("padding of a byte", "00 01 61 82 1fff", None),
        ("a in one byte", "00 01 61 81 1f", Some("a: a")),
        ("a capital letter", "00 01 41 01 62", Some("malformed")),
        ("another pseudo-header field", "88", Some("malformed")),
        ("a space before a value", "00 01 61 02 2062", Some("malformed")),
        ("a line break in a value", "00 01 61 03 620d0a", Some("malformed")),
        ("an empty value", "00 01 61 00", Some("a: ")),
        ("no name", "00 00 01 61", Some("malformed")),
        ("a path without its slash", "04 01 61", Some("malformed")),
        ("a path with a host", "04 0a 687474703a2f2f782f79", Some("malformed")),
        ("a star", "04 01 2a", Some("*")),
        ("another scheme", "06 03 667470", Some("malformed")),
    ] {
        let lines = read(&mut Decoder::new(), &hex(block));
        assert_eq!(lines.as_ref().map(|l| l.join(" ")).as_deref(), fields, "{name}");
    }
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new();
    let entry = |len: usize| {
        let mut block = vec![0x40, 1, b'a', 0x7f];
        let mut rest = len - 127;
        while rest >= 128 {
            block.push(0x80 | (rest % 128) as u8);
            rest /= 128;
        }
        block.push(rest as u8);
        block.extend(vec![b'x'; len]);
        block
    };
    // 1 + 4063 + 32 is all there is room for.
    assert!(read(&mut decoder, &entry(4063)).is_some());
    assert!(read(&mut decoder, &[0xbe]).is_some());
    assert!(read(&mut decoder, &entry(4064)).is_some());
    assert_eq!(read(&mut decoder, &[0xbe]), None);
}

#[test]
fn a_field_that_was_sent_is_one_byte_and_one_that_changes_stays_out() {
    let mut encoder = Encoder::new();
    let mut block = |fields: &[(&'static str, &'static str)], limit: Option<u32>| {
        let mut out = Vec::new();
        limit.into_iter().for_each(|l| encoder.limit(l));
        encoder.status(&mut out, StatusCode::OK);
        for (name, value) in fields {
            let mut value = HeaderValue::from_static(value);
            value.set_sensitive(*name == "x-request-id");
            encoder.field(&mut out, &HeaderName::from_static(name), &value);
        }
        out
    };
    let all = [("access-control-allow-origin", "*"), ("cmsd-static", "ot=v"), ("vary", "a"), ("etag", "1")];
    let first = block(&all, None);
    // RFC 7541 §6.2.1: names 20 and 59 of the static table, one that is new; §6.2.2: name 34.
    assert_eq!(first, hex("88 54 01 2a 40 0b 636d73642d737461746963 04 6f743d76 7b 01 61 0f 13 01 31"));
    assert_eq!(block(&all, None), hex("88 c0 bf be 0f 13 01 31"));
    // Only the name is taken from the table, and what comes behind is found again.
    let other = [all[0], ("cmsd-static", "ot=m"), all[2]];
    assert_eq!(block(&other, None), hex("88 c0 0f 30 04 6f743d6d be"));
    let secret = block(&[("x-request-id", "7")], None);
    assert_eq!(secret, hex("88 10 0c 782d726571756573742d6964 01 37"));
    // Another order; then a table with room for the newest alone (§6.3), in which the other is new again.
    assert_eq!(block(&[all[2], all[0]], None), hex("88 be c0"));
    assert_eq!(block(&[all[2], all[0]], Some(60)), hex("3f 1d 88 be 54 01 2a"));
}

/// What is encoded, decoded again.
fn back(decoder: &mut Decoder, encoder: &mut Encoder, fields: &[(String, String)]) -> Vec<String> {
    let mut out = Vec::new();
    encoder.status(&mut out, StatusCode::OK);
    for (name, value) in fields {
        encoder.field(
            &mut out,
            &HeaderName::from_bytes(name.as_bytes()).unwrap(),
            &HeaderValue::from_str(value).unwrap(),
        );
    }
    read(decoder, &out).expect("sound").split_off(1)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_whatever_the_table_holds(
        answers in prop::collection::vec(
            (prop::option::of(0u32..5000),
             prop::collection::vec(("[a-d]{1,2}|etag|vary|cmsd-[ab]|date", "[a-c]{1,3}|[x-z]{900}"), 0..12)),
            1..12,
        ),
    ) {
        let (mut decoder, mut encoder) = (Decoder::new(), Encoder::new());
        for (limit, fields) in answers {
            limit.into_iter().for_each(|l| encoder.limit(l));
            let lines: Vec<String> = fields.iter().map(|(n, v)| format!("{n}: {v}")).collect();
            prop_assert_eq!(back(&mut decoder, &mut encoder, &fields), lines);
        }
    }

    #[test]
    fn no_block_is_too_strange(cut in 0usize..60, at in 0usize..60, byte: u8, noise in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut decoder = Decoder::new();
        for block in REQUESTS[1] {
            let mut block = hex(block);
            if let Some(place) = block.get_mut(at) {
                *place ^= byte;
            }
            block.truncate(cut);
            read(&mut decoder, &block);
        }
        read(&mut decoder, &noise);
    }
}

#[test]
fn methods_are_told_apart() {
    assert_eq!(read(&mut Decoder::new(), &hex("0204 48454144")).unwrap(), [Method::HEAD.as_str()]);
}
