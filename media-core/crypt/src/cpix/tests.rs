//! A document as packagers get it, what is refused, and documents that are torn or changed.

use proptest::prelude::*;

use super::*;
use crate::{FAIRPLAY, PLAYREADY, WIDEVINE, base64, common_pssh, pssh};

fn document() -> String {
    let (a, b) = ("279926496a7f5d25da69f2b3b2799a7f", "00112233-4455-6677-8899-aabbccddeeff");
    let line = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"data:text/plain;base64,AAAA\",KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\",KEYFORMATVERSIONS=\"1\"";
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CPIX xmlns=\"urn:dashif:org:cpix\" xmlns:pskc=\"urn:ietf:params:xml:ns:keyprov:pskc\" contentId=\"x\">\n\
         <ContentKeyList>\n<ContentKey kid=\"{b}\"><Data><pskc:Secret><pskc:PlainValue>\n AAECAwQFBgcICQoLDA0ODw== \n</pskc:PlainValue></pskc:Secret></Data></ContentKey>\n\
         <ContentKey kid=\"{a}\" explicitIV=\"EBESExQVFhcYGRobHB0eHw==\"><Data><pskc:Secret><pskc:PlainValue>Dw4NDAsKCQgHBgUEAwIBAA==</pskc:PlainValue></pskc:Secret></Data></ContentKey>\n\
         </ContentKeyList>\n<DRMSystemList>\n\
         <DRMSystem kid=\"{a}\" systemId=\"edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"><PSSH>{}</PSSH><HLSSignalingData playlist=\"media\">{}</HLSSignalingData></DRMSystem>\n\
         <DRMSystem kid=\"{a}\" systemId=\"9a04f079-9840-4286-ab92-e65be0885f95\"><ContentProtectionData>{}</ContentProtectionData><URIExtXKey>{}</URIExtXKey></DRMSystem>\n\
         <DRMSystem kid=\"{a}\" systemId=\"94ce86fb-07ff-4f43-adb8-93d2fa968ca2\"><URIExtXKey>{}</URIExtXKey></DRMSystem>\n</DRMSystemList>\n\
         <ContentKeyUsageRuleList><ContentKeyUsageRule kid=\"{a}\" intendedTrackType=\"VIDEO\"/><ContentKeyUsageRule kid=\"{b}\" intendedTrackType=\"AUDIO\"/></ContentKeyUsageRuleList></CPIX>",
        base64(&pssh(&WIDEVINE, &[], &[8, 1])),
        base64(line.as_bytes()),
        base64(b"<mspr:pro xmlns:mspr=\"urn:microsoft:playready\">AAAA</mspr:pro>"),
        base64(b"data:text/plain;charset=UTF-16;base64,AAAA"),
        base64(b"skd://x"),
    )
}

#[test]
fn a_document_gives_its_keys_and_what_each_key_system_says() {
    let keys = parse(&document()).unwrap();
    assert_eq!(keys.len(), 2);
    let (video, audio) = (&keys[0], &keys[1]);
    assert_eq!((video.intended.as_deref(), audio.intended.as_deref()), (Some("VIDEO"), Some("AUDIO")));
    assert_eq!((video.key[0], video.iv.unwrap()[0], audio.key[15], audio.iv), (15, 16, 15, None));
    assert!(audio.systems.is_empty());
    let of = |id: [u8; 16]| video.systems.iter().find(|s| s.id == id).unwrap();
    assert_eq!(of(WIDEVINE).pssh, pssh(&WIDEVINE, &[], &[8, 1]));
    let hls = of(WIDEVINE).hls.clone().unwrap();
    assert_eq!((hls.uri.as_str(), hls.versions.as_deref()), ("data:text/plain;base64,AAAA", Some("1")));
    assert_eq!(hls.format, "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed");
    assert!(of(PLAYREADY).dash.starts_with("<mspr:pro "));
    assert_eq!(of(PLAYREADY).hls.as_ref().unwrap().format, "com.microsoft.playready");
    assert_eq!(of(FAIRPLAY).hls.as_ref().unwrap().uri, "skd://x");
}

#[test]
fn what_cannot_be_used_is_refused_in_words_without_quoting_it() {
    let good = document();
    let quotes = base64(b"skd://x\"y");
    let tags = base64(b"</ContentProtection><x>");
    for (from, to, want) in [
        ("<CPIX ", "<Other ", "root element"),
        ("AAECAwQFBgcICQoLDA0ODw==", "AAEC", "16 bytes"),
        ("<pskc:PlainValue>\n", "<pskc:EncryptedValue>", "encrypted"),
        ("kid=\"00112233-4455", "kid=\"0011", "kid"),
        ("</CPIX>", "", "broken"),
        (&base64(b"skd://x"), &quotes, "quotes"),
        (&base64(b"<mspr:pro xmlns:mspr=\"urn:microsoft:playready\">AAAA</mspr:pro>"), &tags, "no XML"),
        (&base64(&pssh(&WIDEVINE, &[], &[8, 1])), "AAAA", "PSSH"),
    ] {
        assert!(good.contains(from), "{from}");
        let fault = parse(&good.replace(from, to)).unwrap_err().to_string();
        assert!(fault.contains(want) && !fault.contains("AAEC"), "{want}: {fault}");
    }
    assert!(parse("<CPIX/>").unwrap_err().to_string().contains("no ContentKey"));
    assert_eq!(parse(&"<CPIX>".repeat(100)).unwrap_err(), CpixError::TooLarge);
    assert_eq!(common_pssh([0; 16]).len(), 52);
}

proptest! {
    #[test]
    fn torn_and_changed_documents_never_panic(cut in 0..4000usize, at in 0..4000usize, byte in 32..127u8) {
        let mut text = document().into_bytes();
        if let Some(place) = text.get_mut(at) {
            *place = byte;
        }
        text.truncate(cut.max(1));
        let _ = parse(&String::from_utf8_lossy(&text));
    }
}
