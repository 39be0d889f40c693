#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use orchestrator_core::model::FileDigest;
use proptest::prelude::*;

use super::super::listing::Commit;
use super::*;

pub(in super::super) fn listing(names: &[&str]) -> Listing {
    let file = |name: &&str| ListedFile {
        name: RepositoryPath::try_new(name).unwrap(),
        size_bytes: Some(100),
        digest: Some(FileDigest::try_git_blob(&"a".repeat(40)).unwrap()),
    };
    Listing {
        commit: Commit::parse(&"0".repeat(40)).unwrap(),
        files: names.iter().map(file).collect(),
        licence: None,
        gated: false,
        architecture: None,
        base_model: None,
        needs_remote_code: false,
    }
}

/// Chooses, and returns the names of the files or a few words of the refusal.
fn outcome(names: &[&str], selector: Option<&str>) -> Vec<String> {
    let listing = listing(names);
    match choose(&listing, selector) {
        Ok(chosen) => chosen.files.iter().map(|(file, _)| file.name.as_str().to_owned()).collect(),
        Err(ChoiceError::Ambiguous { choices }) => vec!["ambiguous".to_owned(), choices.join(" ")],
        Err(ChoiceError::Missing { what, choices }) => vec![format!("no {what}"), choices.join(" ")],
        Err(ChoiceError::PartMissing { name }) => vec!["part missing".to_owned(), name],
        Err(ChoiceError::Refused { reason, .. }) => vec!["refused".to_owned(), reason],
    }
}

const QWEN: [&str; 8] = [
    ".gitattributes",
    "Qwen3-8B-Q8_0.gguf",
    "Qwen3-8B-Q4_K_M.gguf",
    "Qwen3-8B-Q4_K_S.gguf",
    "Qwen3-8B-UD-Q4_K_XL.gguf",
    "Qwen3-8B-BF16.gguf",
    "imatrix_unsloth.dat",
    "Qwen3-8B-imatrix.gguf",
];

#[test]
fn a_quantisation_in_any_spelling_means_its_file() {
    let check = |selector: &str, expected: &str| assert_eq!(outcome(&QWEN, Some(selector)), [expected], "{selector}");
    check("Q4_K_M", "Qwen3-8B-Q4_K_M.gguf");
    check("q4_k_m", "Qwen3-8B-Q4_K_M.gguf");
    check("q4-k-m", "Qwen3-8B-Q4_K_M.gguf");
    check("Q4.K.M", "Qwen3-8B-Q4_K_M.gguf");
    check("UD-Q4_K_XL", "Qwen3-8B-UD-Q4_K_XL.gguf");
    check("ud_q4_k_xl", "Qwen3-8B-UD-Q4_K_XL.gguf");
    check("Q4_K_XL", "Qwen3-8B-UD-Q4_K_XL.gguf");
    check("bf16", "Qwen3-8B-BF16.gguf");
    check("Q8", "Qwen3-8B-Q8_0.gguf");
}

#[test]
fn a_file_is_named_with_or_without_its_folder_and_in_any_case() {
    let names = ["sub/Model-Q8_0.gguf", "other/Model-Q4_0.gguf", "a.gguf", "b/a.gguf"];
    let check = |selector: &str, expected: &str| assert_eq!(outcome(&names, Some(selector)), [expected], "{selector}");
    check("sub/Model-Q8_0.gguf", "sub/Model-Q8_0.gguf");
    check("Model-Q8_0.gguf", "sub/Model-Q8_0.gguf");
    check("model-q8_0.gguf", "sub/Model-Q8_0.gguf");
    check("Model-Q4_0", "other/Model-Q4_0.gguf");
    check("a.gguf", "a.gguf");
    check("b/a.gguf", "b/a.gguf");
}

#[test]
fn nothing_said_means_the_usual_balance_or_the_next_best() {
    assert_eq!(outcome(&QWEN, None), ["Qwen3-8B-Q4_K_M.gguf"]);
    assert_eq!(outcome(&QWEN, Some("gguf")), ["Qwen3-8B-Q4_K_M.gguf"]);
    assert_eq!(outcome(&["m-Q8_0.gguf", "m-Q4_0.gguf", "m-F16.gguf"], None), ["m-Q4_0.gguf"]);
    assert_eq!(outcome(&["m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf"], None), ["m-Q4_K_M.gguf"]);
    assert_eq!(outcome(&["m-F16.gguf", "m-IQ1_S.gguf"], None), ["m-F16.gguf"]);
    assert_eq!(outcome(&["only.gguf"], None), ["only.gguf"]);
    let chosen = |names: &[&str]| choose(&listing(names), None).unwrap().quantisation;
    assert_eq!(chosen(&["m-q8_0.gguf", "m-q2_k.gguf"]).as_deref(), Some("Q8_0"));
}

#[test]
fn more_than_one_meaning_is_an_error_with_the_choices() {
    assert_eq!(outcome(&QWEN, Some("Q4")), ["ambiguous", "Q4_K_M Q4_K_S UD-Q4_K_XL"]);
    assert_eq!(outcome(&["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"], Some("Q4_K_M")), ["ambiguous", "a-Q4_K_M.gguf b-Q4_K_M.gguf"]);
    assert_eq!(outcome(&["a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "b-Q8_0.gguf"], None), ["ambiguous", "a-Q4_K_M.gguf b-Q4_K_M.gguf Q8_0"]);
    assert_eq!(outcome(&["a.gguf", "b.gguf"], None), ["ambiguous", "a.gguf b.gguf"]);
}

#[test]
fn nothing_of_that_name_is_an_error_with_what_is_near() {
    let wrong = outcome(&QWEN, Some("Q5_K_M"));
    assert_eq!(wrong[0], "no a file or quantisation `Q5_K_M`");
    assert!(wrong[1].starts_with("Q4_K_M Q4_K_S"), "{wrong:?}");
    let wrong = outcome(&QWEN, Some("Qwen3-8B-Q4_K_N.gguf"));
    assert_eq!(wrong[0], "no a file `Qwen3-8B-Q4_K_N.gguf`");
    assert!(wrong[1].contains("Qwen3-8B-Q4_K_M.gguf"), "{wrong:?}");
    assert_eq!(outcome(&["config.json", "model.safetensors"], Some("Q4_0"))[1], "safetensors");
    assert_eq!(outcome(&["config.json", "model.safetensors"], Some("gguf"))[0], "no GGUF files");
}

#[test]
fn a_model_in_parts_is_all_of_them_in_their_order() {
    let parts = ["Q8_0/m-00003-of-00003.gguf", "Q8_0/m-00001-of-00003.gguf", "Q8_0/m-00002-of-00003.gguf"];
    let ordered = ["Q8_0/m-00001-of-00003.gguf", "Q8_0/m-00002-of-00003.gguf", "Q8_0/m-00003-of-00003.gguf"];
    for selector in [None, Some("Q8_0"), Some("Q8_0/m-00001-of-00003.gguf"), Some("m-00002-of-00003.gguf")] {
        assert_eq!(outcome(&parts, selector), ordered, "{selector:?}");
    }
    assert_eq!(outcome(&parts[..2], None), ["part missing", "Q8_0/m-00002-of-00003.gguf"]);
    assert_eq!(outcome(&parts[1..], None), ["part missing", "Q8_0/m-00003-of-00003.gguf"]);
    assert_eq!(outcome(&["m-00099-of-99999.gguf"], None), ["part missing", "m-00001-of-99999.gguf"]);
    let mixed = ["m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf", "m-Q4_K_M.gguf"];
    assert_eq!(outcome(&mixed, None), ["m-Q4_K_M.gguf"]);
}

#[test]
fn a_projector_comes_along_and_is_never_the_model() {
    let names = [
        "gemma-Q4_K_M.gguf",
        "mmproj-BF16.gguf",
        "mmproj-F16.gguf",
        "mmproj-Q8_0.gguf",
        "deep/gemma-Q8_0.gguf",
        "deep/mmproj-gemma-f32.gguf",
    ];
    assert_eq!(outcome(&names, None), ["gemma-Q4_K_M.gguf", "mmproj-F16.gguf"]);
    assert_eq!(outcome(&names, Some("Q8_0")), ["deep/gemma-Q8_0.gguf", "deep/mmproj-gemma-f32.gguf"]);
    assert_eq!(outcome(&["a/m-Q8_0.gguf", "mmproj-Q8_0.gguf"], None), ["a/m-Q8_0.gguf", "mmproj-Q8_0.gguf"]);
    assert_eq!(outcome(&["m-Q8_0.gguf", "else/mmproj.gguf"], None), ["m-Q8_0.gguf"]);
    assert!(outcome(&names, Some("mmproj-F16.gguf"))[1].contains("not a model"));
    assert_eq!(outcome(&["mmproj-F16.gguf"], None)[0], "refused");
    let listing = listing(&names);
    assert_eq!(choose(&listing, None).unwrap().files[1].1, FileRole::Projector);
}

#[test]
fn what_is_no_model_is_not_taken() {
    for (names, selector, words) in [
        (vec!["imatrix.dat"], None, "no GGUF"),
        (vec!["model-imatrix.gguf"], None, "no GGUF"),
        (vec!["m.gguf", "pytorch_model.bin"], Some("pytorch_model.bin"), "run code"),
        (vec!["m.gguf", "model.safetensors"], Some("model.safetensors"), "format safetensors"),
        (vec!["m.gguf", "notes.txt"], Some("notes.txt"), "is no model"),
        (vec!["pytorch_model.bin", "config.json"], None, "run code"),
        (vec!["adapter_config.json", "adapter_model.safetensors"], None, "an adapter"),
        (vec![], None, "no GGUF and no safetensors"),
    ] {
        let found = outcome(&names, selector);
        assert!(found[0] == "refused" && found[1].contains(words), "{names:?}: {found:?}");
    }
}

#[test]
fn a_repository_with_both_formats_gives_gguf_unless_told() {
    let names = ["config.json", "model.safetensors", "m-Q8_0.gguf", "tokenizer.json"];
    assert_eq!(outcome(&names, None), ["m-Q8_0.gguf"]);
    assert_eq!(outcome(&names, Some("Safetensors")), ["model.safetensors", "config.json", "tokenizer.json"]);
}

#[test]
fn names_that_clash_are_refused() {
    for (names, selector) in [
        (vec!["m-Q8_0.gguf", "M-Q8_0.gguf"], "m-Q8_0.gguf"),
        (vec!["config.json", "Config.json", "model.safetensors"], "safetensors"),
        (vec!["m-Q8_0.gguf", "m-Q8_0.gguf/inner.txt"], "Q8_0"),
        (vec!["m-Q8_0.gguf", "M-Q8_0.gguf/notes.txt"], "m-Q8_0.gguf"),
    ] {
        let found = outcome(&names, Some(selector));
        assert!(found[0] == "refused" && found[1].contains("side by side"), "{found:?}");
    }
    // What is not taken may be called whatever it likes.
    assert_eq!(outcome(&["m-Q8_0.gguf", "notes.txt", "NOTES.txt", "README.md", "readme.md"], None), ["m-Q8_0.gguf"]);
}

#[test]
fn the_card_and_the_licence_come_along() {
    assert_eq!(outcome(&["m-Q8_0.gguf", "README.md", "LICENSE", "photo.png"], None), ["m-Q8_0.gguf", "README.md", "LICENSE"]);
}

proptest! {
    #[test]
    fn choosing_never_panics_and_a_selector_of_ours_means_its_model(
        names in proptest::collection::btree_set("(sub/)?(m|n)(-(UD-)?(Q4_K_M|q8_0|BF16|IQ2_XXS))?(-0000[1-3]-of-00002)?\\.(gguf|GGUF|dat)", 0..8),
        word in "\\PC{0,12}",
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let listing = listing(&names);
        let _ = choose(&listing, Some(&word));
        let _ = choose(&listing, None);
        let groups = groups(&listing.files);
        for group in &groups {
            let selector = selector_of(group, &groups);
            match choose(&listing, Some(&selector)) {
                Ok(chosen) => prop_assert_eq!(chosen.files[0].0, group.parts[0]),
                Err(ChoiceError::PartMissing { .. }) => prop_assert!(group.missing.is_some()),
                Err(ChoiceError::Refused { reason, .. }) => prop_assert!(reason.contains("side by side")),
                Err(other) => prop_assert!(false, "{selector}: {other:?}"),
            }
        }
    }
}
