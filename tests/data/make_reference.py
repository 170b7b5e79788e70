#!/usr/bin/env python3
"""Make the encoder test fixtures that are committed next to this script.

    python tests/data/make_reference.py --mpnet DIR --minilm DIR

--mpnet   a local copy of sentence-transformers/all-mpnet-base-v2
--minilm  a local copy of sentence-transformers/all-MiniLM-L6-v2
Either may be left out; that model's reference file is then not made. Nothing is
downloaded. Optional: --out DIR (default: this folder), --no-check (skip the
comparison with the sentence-transformers package).

Written:
  texts.json                          50 texts, a JSON array of strings (ASCII with \\u escapes)
  tiny-bert/                          random BERT in the layout of a plain transformers repository
  tiny-mpnet/                         random MPNet in the layout of a sentence-transformers one
  reference-tiny-bert.safetensors     mean, layers, cls, max
  reference-tiny-mpnet.safetensors    mean, layers
  reference-mpnet.safetensors         mean, mix  (mix: hidden layers 6..12, both ends included)
  reference-minilm.safetensors        mean, mix  (mix: hidden layers 3..6, both ends included)

Tensors, all f32, row i belongs to texts.json[i]:
  mean    [50, width]               mean-pooled last hidden layer, not normalised
  layers  [50, layers + 1, width]   mean-pooled vector of every hidden state; 0 = embedding output
  cls     [50, width]               first token of the last hidden layer
  max     [50, width]               maximum over the tokens of the last hidden layer
  mix     [50, width]               mean of the mean-pooled vectors of some hidden layers

How a text becomes a vector: it is tokenised by tokenizer.json with truncation and
padding switched off and without special tokens. Its n tokens are cut into windows
of max_len - 2 tokens, the rest in the last window (n = 0: one window without
content). Each window gets its two special tokens and goes through the model alone
(batch of one, no padding, f32, eager attention). The pooled tokens of a window
include the two special tokens. The vectors of the windows are averaged, weighted
by the number of content tokens (an empty window weighs 1). The encoder runs in
f32; pooling and averaging are done in f64 and rounded to f32 once, at the end.
max_len: tiny-bert 64, tiny-mpnet 48, mpnet 384, minilm 256.

The committed files were made with Python 3.11.7, torch 2.15.0+cu132 (run on the CPU, x86-64),
transformers 5.23.0, tokenizers 0.23.3, safetensors 0.8.0, numpy 2.4.6
(sentence-transformers 6.2.0 for the check only). Running again on the same machine
gives the same bytes; other versions or processors may differ in the last bits.
"""

import argparse
import json
import os
import platform
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # local folders only
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import safetensors
import safetensors.torch
import tokenizers
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, MPNetConfig, MPNetModel

# ---------------------------------------------------------------- texts

# Every word here is one token in the vocabulary of all four models.
WORDS = (
    "the a of and to in is it was for on with as at by from this that not have be or but they you all one two "
    "time day good new man old work water house world school city little people red blue dog cat book"
).split()


class Lcg:
    """A small random generator of our own, so that the texts depend on no library."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n


def words(n, seed):
    """n words, one token each."""
    r = Lcg(seed)
    return " ".join(WORDS[r.below(len(WORDS))] for _ in range(n))


def prose(n, seed):
    """n words in sentences: capitals, commas, full stops, some longer words, paragraphs."""
    r = Lcg(seed)
    extra = "yesterday nevertheless Zürich photosynthesis 1984 e-mail café don't Mississippi naïve".split()
    out, left, start = [], 0, True
    for i in range(n):
        if left == 0:
            left, start = 4 + r.below(14), True
        w = extra[r.below(len(extra))] if r.below(7) == 0 else WORDS[r.below(len(WORDS))]
        w = w[0].upper() + w[1:] if start else w
        start, left = False, left - 1
        if left == 0 or i == n - 1:
            w += ".?!."[r.below(4)] + ("\n\n" if r.below(6) == 0 else "")
        elif r.below(9) == 0:
            w += ","
        out.append(w)
    return " ".join(out).replace("\n\n ", "\n\n").strip()


TEXTS = [
    # plain English
    "The quick brown fox jumps over the lazy dog.",
    "It was a good day for a walk in the city.",
    "Good",
    "I would like to return the red shoes I ordered last week, because the left one is a size too small and the "
    "sole has already come loose; could you please tell me how to send them back and when I get my money?",
    "MiXeD cAsE: THE World is NOT Flat, says Dr. O'Neill-McDonald (NASA).",
    "Please cancel my subscription, effective immediately. Thank you!",
    "Unbelievably, antidisestablishmentarianism and electroencephalographically are single words.",
    # emoji, single and joined
    "Great job! 👍🏽 🎉🎉 see you 😀",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👨🏿‍🚀 ❤️‍🔥 🇩🇪🇯🇵 1️⃣",
    "🙃",
    # other scripts
    "我们今天去学校看书,天气很好。",
    "東京は日本の首都です。カタカナとひらがなと漢字、そしてハンカク。",
    "مرحبا بالعالم، كيف حالك اليوم؟ السّلامُ عليكم",
    "Привет, мир! Съешь же ещё этих мягких французских булок. Ёлка Йод",
    "안녕하세요 세계 हिन्दी में नमस्ते ไทยแลนด์ שָׁלוֹם Ελληνικά",
    # accents, composed and decomposed (the same letters)
    "Caf\u00e9 na\u00efve fa\u00e7ade \u00dcber \u00c5ngstr\u00f6m \u00f1and\u00fa \u1ec7",
    "Cafe\u0301 nai\u0308ve fac\u0327ade U\u0308ber A\u030angstro\u0308m n\u0303andu\u0301 e\u0323\u0302",
    "Stra\u00dfe \u0130stanbul \ufb01ne \u01c4ep \u0153uvre \u00bd \u00b2 \u2167 \u210c \uff21\uff22\uff23 \uff11\uff12 \u00c6\u00d8\u0141 \u212a",
    # punctuation, digits
    "!?.,;:-_()[]{}<>/\\|@#$%^&*+=~`'\"",
    "«Quote» – “curly” ‘single’ … — • · § © ® ™ € £ ¥ ¿¡ 、。「」",
    "!!!!!!!!!!!! ???????? ........ -------- ,,,,,, ?!?!?!",
    "1234567890 3.14159 -42 1,000,000 0x1F 2024-02-29T23:59:59Z +49 (30) 123456 ١٢٣ 一二三",
    # machine text
    "https://www.example.com/path/to/page?id=42&lang=en#top mailto:someone@example.org C:\\dir\\file.txt",
    "fn main() { let x: Vec<u8> = vec![1, 2, 3]; println!(\"{:?}\", x); } // comment\n\tif (a != b && c >= d) { i++; }",
    "&lt;p&gt;Fish &amp; chips&nbsp;&#8212; &quot;5&euro;&quot;&lt;/p&gt; <b>bold</b><br/>",
    "{\"a\": [1, 2.5e-3, null], \"b\": \"x\\ty\"} SELECT * FROM t WHERE a = 'b' -- done",
    # nothing, or nearly nothing
    "",
    "   \t\n",
    "\u0000\u0007\u00ad\u200b\ufeff",
    ".",
    # control and invisible characters
    "nul \u0000 in\u0000side, bell \u0007, \u001b[31mred\u001b[0m, del \u007f, next line \u0085, unit \u001f end",
    "zero\u200bwidth, soft\u00adhyphen, bom \ufeffin the mid\ufeffdle, joiner a\u200db\u200cc, word\u2060joiner, rtl \u202eabc\u202c",
    "line one\nline two\r\nline three\rline four\ttab\u000bvt\u000cff\u00a0nbsp\u3000wide\u2003em\u2028ls\u2029ps",
    "bad \ufffd byte\ufffdin the word, private \ue000\uf8ff a\ue123b \U000f0000, not a character \ufdd0\uffff x",
    "Zalgo: h\u0300\u0301\u0302\u0303\u0304e\u0305\u0306\u0307l\u0308\u0309\u030al\u030b\u030co \U0001d54f\U0001d4ee \U00020000\U0002a6d6",
    # special-token look-alikes
    "[CLS] hello [SEP] <s> </s> <mask> [UNK]",
    "<pad> and [PAD] in the text [MASK]ed <unk> <UNK> [unk][cls] [SEP][SEP]</s></s> <S> [ CLS ] ##ing [unused1]",
    "see<pad><pad>how the positions count<pad>",
    # long words: 300 letters, and the two sides of the limit of 100 letters
    "".join("abcdefghijklmnopqrstuvwxyz"[(i * 7) % 26] for i in range(300)),
    "a" * 100 + " one two " + "b" * 101,
    # exactly as long as one window, and one token more:
    # 46 = tiny-mpnet, 62 = tiny-bert, 254 = minilm, 382 = mpnet
    words(46, 1),
    words(47, 2),
    words(62, 3),
    words(63, 4),
    words(254, 5),
    words(255, 6),
    words(382, 7),
    words(383, 8),
    # long
    prose(600, 9),
    prose(1300, 10),
]
assert len(TEXTS) == 50 and len(set(TEXTS)) == 50
EXACT = {40: 46, 41: 47, 42: 62, 43: 63, 44: 254, 45: 255, 46: 382, 47: 383}  # index: number of content tokens

# ---------------------------------------------------------------- tiny models

HIDDEN, LAYERS, HEADS, INTERMEDIATE, POSITIONS = 32, 4, 4, 64, 64


def wordpieces():
    """The vocabulary of the tiny models, without special tokens."""
    letters, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
    v = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + list(digits + letters)
    v += ["##" + c for c in digits + letters]
    v += [w for w in WORDS if len(w) > 1] + (
        "hello see how text thank please return would like quick brown fox jumps over lazy walk size small last week "
        "could tell send back when get money my cancel great job line tab zero soft in word bad byte side example com "
        "path page let null select where done fish bold yes no"
    ).split()
    v += ["##" + s for s in "ing ed er ly es th on an en tion able".split()]
    v += list("我们今天去学校看书日本東京一二三好") + list("привет") + ["##" + c for c in "ривет"]
    v += list("のは") + ["##は", "##です", "ع", "##م", "€", "。", "、", "–", "👍", "😀", "##😀", "\u00df", "##\u00df"]
    return list(dict.fromkeys(v))


def tiny_tokenizer(kind):
    """A tokenizer.json like the ones of bert-base-uncased and all-mpnet-base-v2."""
    if kind == "bert":
        vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + wordpieces()
        special = [AddedToken(t, normalized=False, special=True) for t in vocab[:5]]
    else:
        vocab = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]"] + wordpieces() + ["<mask>"]
        special = [AddedToken(t, normalized=t == "<unk>", special=True) for t in vocab[:5]]
        special.append(AddedToken("<mask>", lstrip=True, normalized=False, special=True))
    ids = {t: i for i, t in enumerate(vocab)}
    tok = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tok.add_special_tokens(special)
    assert tok.get_vocab_size() == len(vocab)
    tok.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece(prefix="##")
    if kind == "bert":
        tok.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
        )
    else:
        tok.post_processor = processors.RobertaProcessing(("</s>", ids["</s>"]), ("<s>", ids["<s>"]), True, False)
        # as in the real files: truncation and padding are set and have to be switched off
        tok.enable_truncation(16)
        tok.enable_padding(pad_id=ids["<pad>"], pad_token="<pad>", length=16)
    return tok, len(vocab)


def randomise(model, seed):
    """Weights large enough for an error anywhere to show in the result."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=g)
            if name.endswith("LayerNorm.weight"):
                p.copy_(1.0 + 0.3 * noise)
            elif "relative_attention_bias" in name:
                p.copy_(noise)
            else:
                p.copy_(0.2 * noise)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def make_tiny(out, kind):
    torch.manual_seed(0)
    tok, size = tiny_tokenizer(kind)
    shape = dict(
        vocab_size=size,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INTERMEDIATE,
        hidden_act="gelu",
        attention_probs_dropout_prob=0.1,
        hidden_dropout_prob=0.1,
    )
    tokenizer_config = {
        "do_lower_case": True,
        "tokenize_chinese_chars": True,
        "strip_accents": None,
        "unk_token": "[UNK]",
        "model_max_length": POSITIONS,
    }
    if kind == "bert":
        shape |= dict(max_position_embeddings=POSITIONS, type_vocab_size=2, layer_norm_eps=1e-12, pad_token_id=0)
        model = BertModel(BertConfig(**shape))  # with pooler: two tensors that are not used
        randomise(model, 1)
        tokenizer_config |= {
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "mask_token": "[MASK]",
            "tokenizer_class": "BertTokenizer",
        }
        config = {"architectures": ["BertModel"], "model_type": "bert", "position_embedding_type": "absolute"}
    else:
        shape |= dict(
            max_position_embeddings=POSITIONS + 2,
            relative_attention_num_buckets=32,
            layer_norm_eps=1e-5,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        )
        model = MPNetModel(MPNetConfig(**shape), add_pooling_layer=False)
        randomise(model, 2)
        tokenizer_config |= {
            "bos_token": "<s>",
            "eos_token": "</s>",
            "cls_token": "<s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
            "tokenizer_class": "MPNetTokenizer",
        }
        config = {"architectures": ["MPNetModel"], "model_type": "mpnet"}
        module = "sentence_transformers.models."
        write_json(
            out / "modules.json",
            [
                {"idx": 0, "name": "0", "path": "", "type": module + "Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": module + "Pooling"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": module + "Normalize"},
            ],
        )
        write_json(
            out / "1_Pooling/config.json",
            {
                "word_embedding_dimension": HIDDEN,
                "pooling_mode_cls_token": False,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False,
                "pooling_mode_mean_sqrt_len_tokens": False,
            },
        )
        write_json(out / "sentence_bert_config.json", {"max_seq_length": 48, "do_lower_case": False})
    write_json(out / "config.json", dict(sorted((config | shape).items())))
    write_json(out / "tokenizer_config.json", tokenizer_config)
    (out / "tokenizer.json").write_text(tok.to_str(pretty=False), encoding="utf-8")
    tensors = {k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    safetensors.torch.save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


# ---------------------------------------------------------------- reference vectors


class Encoder:
    def __init__(self, folder):
        config = json.loads((folder / "config.json").read_text())
        sbert = folder / "sentence_bert_config.json"
        if sbert.exists():
            self.max_len = json.loads(sbert.read_text())["max_seq_length"]
        else:
            self.max_len = config["max_position_embeddings"]
        self.tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tok.no_truncation()
        self.tok.no_padding()
        names = {"bert": ("[CLS]", "[SEP]"), "mpnet": ("<s>", "</s>")}[config["model_type"]]
        self.first, self.last = (self.tok.token_to_id(n) for n in names)
        self.model, info = AutoModel.from_pretrained(
            str(folder), dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
        self.model.eval()
        missing = [k for k in info["missing_keys"] if not k.startswith("pooler.")]
        assert not missing, missing
        assert self.model.config._attn_implementation == "eager"

    def ids(self, text):
        return self.tok.encode(text, add_special_tokens=False).ids

    def windows(self, text):
        """(input ids, weight) of every window"""
        ids, n = self.ids(text), self.max_len - 2
        parts = [ids[i : i + n] for i in range(0, len(ids), n)] or [[]]
        return [([self.first] + p + [self.last], max(len(p), 1)) for p in parts]

    def encode(self, text):
        """{'layers': [layers + 1, width], 'cls': [width], 'max': [width]} in f64"""
        sums, total = {}, 0
        for ids, weight in self.windows(text):
            x = torch.tensor([ids])
            r = self.model(input_ids=x, attention_mask=torch.ones_like(x), output_hidden_states=True)
            hidden = torch.stack([h[0] for h in r.hidden_states]).double()
            assert hidden.shape[0] == self.model.config.num_hidden_layers + 1
            assert hidden.shape[1] == len(ids)
            assert torch.equal(r.hidden_states[0], self.model.embeddings(input_ids=x))
            assert torch.equal(r.hidden_states[-1], r.last_hidden_state)
            pooled = {"layers": hidden.mean(1), "cls": hidden[-1, 0], "max": hidden[-1].amax(0)}
            for k, v in pooled.items():
                sums[k] = sums.get(k, 0.0) + weight * v
            total += weight
        return {k: v / total for k, v in sums.items()}


def make_reference(folder, path, name, wanted, mix=None, check=True):
    e = Encoder(folder)
    counts = [len(e.ids(t)) for t in TEXTS]
    for i, n in EXACT.items():
        assert counts[i] == n, (name, i, counts[i], n)
    rows = [e.encode(t) for t in TEXTS]
    out = {k: torch.stack([r[k] for r in rows]) for k in ("layers", "cls", "max")}
    out["mean"] = out["layers"][:, -1]
    if mix:
        out["mix"] = out["layers"][:, mix[0] : mix[1] + 1].mean(1)
    out = {k: out[k].float().contiguous() for k in wanted}
    assert all(torch.isfinite(v).all() for v in out.values())
    safetensors.torch.save_file(out, path, metadata={"format": "pt"})
    split = sum(n > e.max_len - 2 for n in counts)
    print(f"{name}: max_len {e.max_len}, {split} texts in several windows, most tokens {max(counts)}")
    print(f"  {path.name}: " + ", ".join(f"{k} {list(v.shape)}" for k, v in out.items()))
    if check:
        compare(name, folder, e, counts, out["mean"])


def compare(name, folder, e, counts, mean):
    """Compare with what transformers and sentence-transformers make of the texts that fit one window."""
    fits = [i for i, n in enumerate(counts) if n <= e.max_len - 2]
    auto = AutoTokenizer.from_pretrained(str(folder))
    differ = [i for i in fits if auto(TEXTS[i])["input_ids"] != e.windows(TEXTS[i])[0][0]]
    print(f"  input ids as AutoTokenizer ({type(auto).__name__}): {len(fits) - len(differ)} of {len(fits)} equal")
    for i in differ:
        print(f"    text {i} {TEXTS[i][:60]!r}\n      here {e.windows(TEXTS[i])[0][0]}\n      auto {auto(TEXTS[i])['input_ids']}")
    from sentence_transformers import SentenceTransformer

    st = SentenceTransformer(str(folder), device="cpu")
    got = np.stack([st.encode(TEXTS[i], normalize_embeddings=True) for i in fits]).astype(np.float64)
    ours = mean[fits].double().numpy()
    ours /= np.linalg.norm(ours, axis=1, keepdims=True)
    cos = (got * ours).sum(1) / np.linalg.norm(got, axis=1)
    print(f"  cosine with SentenceTransformer.encode, {len(fits)} texts: lowest {cos.min():.9f}")
    for i, c in zip(fits, cos):
        if c < 0.999999:
            print(f"    text {i} {TEXTS[i][:60]!r}: {c:.9f}")


def main():
    here = Path(__file__).resolve().parent
    a = argparse.ArgumentParser(description="Make the encoder test fixtures.")
    a.add_argument("--mpnet", type=Path, help="folder of all-mpnet-base-v2")
    a.add_argument("--minilm", type=Path, help="folder of all-MiniLM-L6-v2")
    a.add_argument("--out", type=Path, default=here, help="where to write")
    a.add_argument("--no-check", action="store_true", help="skip the comparison with sentence-transformers")
    a = a.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(
        f"python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"tokenizers {tokenizers.__version__}, safetensors {safetensors.__version__}, numpy {np.__version__}"
    )
    (a.out / "texts.json").write_text(json.dumps(TEXTS, indent=0) + "\n", encoding="ascii")
    with torch.inference_mode(False):
        make_tiny(a.out / "tiny-bert", "bert")
        make_tiny(a.out / "tiny-mpnet", "mpnet")
    jobs = [
        ("tiny-bert", a.out / "tiny-bert", ["mean", "layers", "cls", "max"], None),
        ("tiny-mpnet", a.out / "tiny-mpnet", ["mean", "layers"], None),
        ("mpnet", a.mpnet, ["mean", "mix"], (6, 12)),
        ("minilm", a.minilm, ["mean", "mix"], (3, 6)),
    ]
    for name, folder, wanted, mix in jobs:
        if folder:
            with torch.inference_mode():
                make_reference(folder, a.out / f"reference-{name}.safetensors", name, wanted, mix, not a.no_check)


if __name__ == "__main__":
    main()
