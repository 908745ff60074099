"""The words of the reviews language, in English and simplified Chinese.

Notation of an adjective: ``english|synonym : 中文|同义词``, the most frequent first; ``!`` marks a
strong one, ``~`` an unfavourable one that can be negated ("not heavy"). In templates, ``{this}`` is
the product with its demonstrative ("these headphones", 这 副 耳机), ``{it}`` its pronoun, ``{one}``
a Chinese numeral with the measure word. Chinese templates have a space between words.
"""

from __future__ import annotations

from textgen_utils.corpora.reviews.lexicon import (
    Aspect,
    Degree,
    Lexicon,
    Opinion,
    Product,
    Verdict,
    Wording,
    zipf,
)


def wording(en: str, zh: str) -> Wording:
    """Return Zipf tables of the phrases between bars, by language."""
    return {"en": zipf(_split(en, "|")), "zh": zipf(_split(zh, "|"))}


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator)]


def _opinion(entry: str, tone: int) -> tuple[str, Opinion]:
    en, zh = _split(entry.replace("!", "").replace("~", ""), ":")
    strength = 1.5 if "!" in entry else 1.0
    opinion = Opinion(tone, wording(en, zh), strength, negatable=tone > 0 or "~" in entry)
    return next(iter(opinion.words["en"])), opinion


def _aspect(
    en: str, zh: str, good: str, bad: str, plural: bool = False, owned: bool = True
) -> Aspect:
    by_tone = {
        +1: dict(_opinion(entry, +1) for entry in _split(good, ";")),
        -1: dict(_opinion(entry, -1) for entry in _split(bad, ";")),
    }
    opinions = {tone: zipf(entries, exponent=0.5) for tone, entries in by_tone.items()}
    return Aspect(wording(en, zh), plural, opinions, by_tone[+1] | by_tone[-1], owned)


def aspects() -> dict[str, Aspect]:
    """Return the parts and properties that are judged, with the adjectives that suit each."""
    return {
        "design": _aspect(
            "design|style",
            "设计|款式",
            "elegant|stylish:优雅|雅致; modern:时尚|现代; charming!:迷人",
            "ugly~:难看|丑; clumsy:笨拙|臃肿; dated|outdated:过时|老气",
        ),
        "price": _aspect(
            "price|cost",
            "价格|价钱",
            "reasonable|fair:合理|公道; affordable:实惠|亲民; attractive:诱人",
            "high~:高; steep!:离谱|夸张; daunting!:吓人|惊人",
        ),
        "battery": _aspect(
            "battery",
            "电池",
            "reliable:可靠|稳定; durable:耐用|持久; powerful!:强劲|给力",
            "heavy~:重|沉; hot~:烫|热; poor:差|糟",
        ),
        "sound": _aspect(
            "sound",
            "音质|声音",
            "clear:清晰|清楚; rich|full:饱满|浑厚; impressive!:惊艳|震撼",
            "harsh~:刺耳|尖锐; thin|flat:单薄|干瘪; distorted!:失真",
        ),
        "pictures": _aspect(
            "pictures|photos",
            "照片",
            "sharp|crisp:清晰|锐利; vivid|colourful:鲜艳|艳丽; beautiful!:漂亮|好看",
            "dark~:暗|昏暗; blurry|fuzzy:模糊; pale:苍白",
            plural=True,
        ),
        "soles": _aspect(
            "soles",
            "鞋底",
            "soft:柔软|软和; light:轻|轻便; springy:有弹性",
            "stiff~|hard:硬|僵硬; slippery~:滑; heavy~:重|沉",
            plural=True,
        ),
        "fabric": _aspect(
            "fabric|material",
            "面料|布料",
            "soft:柔软|软和; breathable:透气; durable:耐磨|耐用",
            "thin~:薄|单薄; rough~:粗糙; stiff~:硬|僵硬",
        ),
        "handle": _aspect(
            "handle|grip",
            "把手|手柄",
            "comfortable:舒服|舒适; sturdy|solid:结实|牢固; handy:顺手",
            "slippery~:滑|滑手; hot~:烫|烫手; fragile:脆弱",
        ),
        "story": _aspect(
            "story|plot",
            "故事|情节",
            "gripping!|exciting:精彩|吸引人; moving|touching:感人|动人; original|fresh:新颖|别致",
            "boring~|dull:无聊|乏味; predictable~:老套|俗套; confusing:混乱|费解",
        ),
        "characters": _aspect(
            "characters",
            "人物|角色",
            "lively:生动|鲜活; believable|convincing:真实|可信; likeable:可爱|讨喜",
            "wooden:呆板|死板; annoying~!:讨厌|烦人; forgettable:平庸",
            plural=True,
        ),
    }


def _product(
    en: str, zh: str, measure: str, verb: tuple[str, str], parts: str, plural: bool = False
) -> Product:
    verbs = {"en": verb[0], "zh": verb[1]}
    table = zipf(_split(parts, ","), exponent=0.4)
    return Product(wording(en, zh), plural, measure, verbs, table)


def products() -> dict[str, Product]:
    """Return the products, the most frequent first."""
    use, wear, read = ("using", "用"), ("wearing", "穿"), ("reading", "读")
    return {
        "camera": _product("camera", "相机|照相机", "台", use, "pictures, battery, price"),
        "headphones": _product("headphones", "耳机", "副", use, "sound, design, battery", True),
        "novel": _product("novel|book", "小说|书", "本", read, "story, characters, price"),
        "running shoes": _product(
            "running shoes|shoes", "跑鞋|运动鞋", "双", wear, "soles, price, design", True
        ),
        "jacket": _product("jacket|coat", "外套|夹克", "件", wear, "fabric, design, price"),
        "kettle": _product("kettle", "电水壶|水壶", "把", use, "handle, design, price"),
    }


def openings() -> dict[str, Wording]:
    """Return the first sentences."""
    return {
        "bought last month": wording(
            "I bought {this} last month.|Last month I bought {this}.",
            "上个月 我 买 了 {this} 。|我 上个月 买 了 {this} 。",
        ),
        "used for weeks": wording(
            "I have been {using} {this} for weeks.|For weeks I have been {using} {this}.",
            "{this} 我 {use} 了 几个星期 。|我 {use} {this} 已经 几个星期 了 。",
        ),
        "ordered online": wording(
            "I ordered {this} online.|I found {this} online.",
            "我 在 网上 买 了 {this} 。|{this} 是 我 在 网上 买 的 。",
        ),
        "gift from sister": wording(
            "My sister gave me {this}.|^{this} {was} a gift from my sister.",
            "姐姐 送 了 我 {this} 。|{this} 是 姐姐 送 我 的 。",
        ),
        "birthday": wording(
            "I got {this} for my birthday.|For my birthday I got {this}.",
            "{this} 是 我 的 生日 礼物 。|生日 那天 我 收到 了 {this} 。",
        ),
        "colleague": wording(
            "A colleague recommended {this}.|^{this} {was} recommended by a colleague.",
            "同事 向 我 推荐 了 {this} 。|{this} 是 同事 推荐 的 。",
        ),
        "bought in a sale": wording(
            "I bought {this} in a sale.|I picked up {this} in a sale.",
            "打折 时 我 买 了 {this} 。|我 趁 打折 买 了 {this} 。",
        ),
        "long wished for": wording(
            "I had long wanted {this}.|I had always wanted {this}.",
            "我 早就 想 买 {this} 了 。|我 一直 想 买 {this} 。",
        ),
    }


def degrees() -> dict[str, Degree]:
    """Return the adverbs; Chinese predicates carry 很 where English has nothing."""
    return {
        "plain": Degree({"en": {"": 1.0}, "zh": {"很": 1.0}}, 1.0),
        "very": Degree(wording("very|really", "非常|特别"), 1.5),
        "slightly": Degree(wording("a bit|a little", "有点|有些"), 0.5),
        "too": Degree(wording("too|far too", "太|实在 太"), 1.5),
        "not": Degree(wording("not", "不|并不"), -0.5),
        "not at all": Degree(
            wording("anything but|far from|not at all", "一点 都 不|完全 不"), -1.0
        ),
    }


def verdicts() -> dict[str, Verdict]:
    """Return the closing sentences."""
    return {
        "buy again": Verdict(+1, 1.0, wording(
            "I would buy {this} again|I would happily buy {it} again",
            "我 会 再 买 {this}|我 还 会 再 买 {one}",
        )),
        "recommend": Verdict(+1, 1.0, wording(
            "I recommend {this} to everyone|I can recommend {this}",
            "我 向 大家 推荐 {this}|{this} 值得 推荐",
        )),
        "keep": Verdict(+1, 0.5, wording(
            "I will keep {using} {this}|I will keep {using} {it}",
            "我 会 继续 {use} {this}|{this} 我 会 一直 {use} 下去",
        )),
        "wait": Verdict(0, -0.25, wording(
            "I would only buy {this} in a sale|I would wait for a sale",
            "{this} 最好 等 打折 再 买|我 建议 等 打折 再 买",
        )),
        "not again": Verdict(-1, -1.0, wording(
            "I would not buy {this} again|I would never buy {it} again",
            "我 不会 再 买 {this}|{this} 我 不会 再 买 了",
        )),
        "send back": Verdict(-1, -1.25, wording(
            "I am sending {this} back|I have to send {it} back",
            "我 要 把 {this} 退掉|我 打算 退掉 {this}",
        )),
        "avoid": Verdict(-1, -0.75, wording(
            "I cannot recommend {this}|I cannot recommend {it}",
            "我 不 推荐 {this}|{this} 不 值得 推荐",
        )),
    }  # fmt: skip


def connectives() -> dict[str, Wording]:
    """Return how a closing begins that follows from the last clause, or goes against it."""
    return {
        "along": {
            "en": {"": 0.6, "All in all,": 0.2, "Overall,": 0.2},
            "zh": {"": 0.6, "总的来说 ，": 0.2, "总之 ，": 0.2},
        },
        "against": wording("Still,|Even so,", "不过 ，|即便如此 ，"),
    }


def markers() -> dict[str, Wording]:
    """Return the words around an aspect (``{}``) that bind two clauses together."""
    return {
        "plain": wording("{}", "{}"),
        "although": wording("although {}|even though {}", "虽然 {}|尽管 {}"),
        "not only": wording("not only {}", "不但 {}|不仅 {}"),
        "and": wording(", and {}|, and {} also", "， {} 也|， 而且 {} 也"),
        "but": wording(", but {}|, yet {}", "， 但是 {}|， 不过 {}|， {} 却"),
        "after although": wording(", {}", "， 但是 {}|， {} 却"),
        "after not only": wording(", but {} also", "， 而且 {} 也|， {} 也"),
        "determiner": {"en": {"the": 0.75, "{its}": 0.25}, "zh": {"": 1.0}},
    }


def default_lexicon() -> Lexicon:
    """Return the lexicon of the book."""
    favourable = {"buy again": 0.42, "recommend": 0.33, "keep": 0.25}
    unfavourable = {"not again": 0.42, "send back": 0.33, "avoid": 0.25}
    return Lexicon(
        products=products(),
        aspects=aspects(),
        openings=openings(),
        degrees=degrees(),
        verdicts=verdicts(),
        connectives=connectives(),
        markers=markers(),
        product_table=zipf(products(), exponent=0.5),
        opening_table=zipf(openings(), exponent=0.5),
        frame_table={"plain": 0.66, "although": 0.22, "not only": 0.12},
        tone_table={"+": 0.58, "-": 0.42},
        degree_tables={
            +1: {"plain": 0.42, "very": 0.34, "not": 0.12, "not at all": 0.12},
            -1: {"plain": 0.28, "slightly": 0.26, "very": 0.18, "too": 0.14, "not": 0.09,
                 "not at all": 0.05},
        },
        link_tables={
            +1: {"and": 0.26, "but": 0.3, "none": 0.44},
            -1: {"and": 0.3, "but": 0.26, "none": 0.44},
        },
        verdict_tables={
            (+1, 0): {k: 0.92 * p for k, p in favourable.items()} | {"wait": 0.08},
            (-1, 0): {k: 0.8 * p for k, p in unfavourable.items()} | {"wait": 0.12, "keep": 0.08},
            (+1, +1): favourable,
            (-1, -1): {k: 0.94 * p for k, p in unfavourable.items()} | {"wait": 0.06},
            (+1, -1): {"wait": 0.32, "not again": 0.24, "keep": 0.14, "avoid": 0.12,
                       "send back": 0.1, "buy again": 0.08},
            (-1, +1): {"keep": 0.34, "buy again": 0.28, "wait": 0.22, "recommend": 0.1,
                       "not again": 0.06},
        },
    )  # fmt: skip
