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
    opinions = {tone: zipf(entries) for tone, entries in by_tone.items()}
    return Aspect(wording(en, zh), plural, opinions, by_tone[+1] | by_tone[-1], owned)


def aspects() -> dict[str, Aspect]:
    """Return the parts and properties that are judged, with the adjectives that suit each."""
    return {
        "screen": _aspect(
            "screen|display",
            "屏幕|显示屏",
            "sharp|crisp:清晰|锐利; bright:明亮|亮; smooth:流畅|顺滑; impressive!:惊艳",
            "dim~:昏暗|暗; small~|tiny:小; blurry|fuzzy:模糊; glaring:刺眼|晃眼",
        ),
        "battery": _aspect(
            "battery",
            "电池",
            "reliable:可靠|稳定; durable:耐用|持久; good:好; powerful!:强劲|给力",
            "bad|poor:差|糟; heavy~:重|沉; hot~:烫|热; fragile:脆弱",
        ),
        "sound": _aspect(
            "sound",
            "音质|声音",
            "clear:清晰|清楚; rich|full:饱满|浑厚; natural:自然|真实; impressive!:惊艳|震撼",
            "thin|flat:单薄|干瘪; harsh~:刺耳|尖锐; muffled:沉闷|发闷; distorted!:失真",
        ),
        "pictures": _aspect(
            "pictures|photos",
            "照片",
            "sharp|crisp:清晰|锐利; vivid|colourful:鲜艳|艳丽; lifelike:逼真|真实; "
            "beautiful!:漂亮|好看",
            "blurry|fuzzy:模糊; dark~:暗|昏暗; grainy:粗糙; pale:苍白",
            plural=True,
        ),
        "keyboard": _aspect(
            "keyboard",
            "键盘",
            "comfortable:舒服|舒适; quiet:安静; responsive:灵敏; sturdy|solid:结实|牢固",
            "noisy~|loud:吵|吵人; cramped:拥挤|局促; stiff~:硬|僵硬; flimsy:单薄",
        ),
        "buttons": _aspect(
            "buttons",
            "按键|按钮",
            "responsive:灵敏; handy:顺手|方便; sturdy|solid:结实|牢固",
            "stiff~:硬|僵硬; small~|tiny:小; loose~:松|松动; confusing:混乱|费解",
            plural=True,
        ),
        "price": _aspect(
            "price|cost",
            "价格|价钱",
            "reasonable|fair:合理|公道; affordable:实惠|亲民; attractive:诱人",
            "high~:高; steep!:离谱|夸张; daunting!:吓人|惊人",
        ),
        "delivery": _aspect(
            "delivery|shipping",
            "送货|物流",
            "fast|quick:快|迅速; punctual:准时|及时; careful:细心|仔细; thoughtful:贴心|周到",
            "slow~:慢|迟缓; careless|sloppy:马虎|粗心; chaotic!:混乱|乱; rough:粗暴",
            owned=False,
        ),
        "packaging": _aspect(
            "packaging",
            "包装",
            "sturdy|solid:结实|牢固; elegant:精致|精美; neat|tidy:整齐|整洁; simple:简单|简洁",
            "flimsy:单薄|脆弱; messy:凌乱|杂乱; wasteful:浪费; ugly~:难看|丑",
            owned=False,
        ),
        "instructions": _aspect(
            "instructions",
            "说明书",
            "clear:清楚|清晰; detailed|thorough:详细|详尽; helpful|useful:有用|实用",
            "confusing:混乱|费解; vague:含糊|模糊; complicated~|complex:复杂|繁琐; long~:长|冗长",
            plural=True,
            owned=False,
        ),
        "ear pads": _aspect(
            "ear pads",
            "耳垫|耳罩",
            "soft:柔软|软和; comfortable:舒服|舒适; light:轻|轻巧; breathable:透气",
            "tight~:紧; stiff~|hard:硬|僵硬; stuffy:闷|闷热; rough:粗糙",
            plural=True,
        ),
        "handle": _aspect(
            "handle|grip",
            "把手|手柄",
            "comfortable:舒服|舒适; sturdy|solid:结实|牢固; handy:顺手",
            "slippery~:滑|滑手; hot~:烫|烫手; short~:短; fragile:脆弱",
        ),
        "motor": _aspect(
            "motor",
            "电机|马达",
            "powerful:强劲|有力; quiet:安静|静音; reliable:可靠|稳定; efficient:高效",
            "noisy~|loud:吵|吵人; weak~:弱|无力; hot~:烫; fragile:娇气|脆弱",
        ),
        "fabric": _aspect(
            "fabric|material",
            "面料|布料",
            "soft:柔软|软和; breathable:透气; durable:耐磨|耐用; comfortable:舒服|舒适",
            "thin~:薄|单薄; rough~:粗糙; stiff~:硬|僵硬; heavy~:重|厚重",
        ),
        "zips": _aspect(
            "zips",
            "拉链",
            "smooth:顺滑|顺畅; sturdy|solid:结实|牢固; reliable:可靠|耐用",
            "stiff~:紧|涩; fragile|flimsy:脆弱; loose~:松",
            plural=True,
        ),
        "pockets": _aspect(
            "pockets",
            "口袋",
            "handy|useful:方便|实用; deep:深; roomy|spacious:宽敞|宽大",
            "small~|tiny:小; shallow:浅; tight~:紧; flimsy:单薄",
            plural=True,
        ),
        "straps": _aspect(
            "straps",
            "肩带|背带",
            "comfortable:舒服|舒适; soft:柔软|软和; sturdy|solid:结实|牢固",
            "thin~:细; stiff~|hard:硬|僵硬; short~:短; slippery~:滑",
            plural=True,
        ),
        "soles": _aspect(
            "soles",
            "鞋底",
            "soft:柔软|软和; light:轻|轻便; springy:有弹性; durable:耐磨|耐穿",
            "stiff~|hard:硬|僵硬; slippery~:滑; thin~:薄; heavy~:重|沉",
            plural=True,
        ),
        "brakes": _aspect(
            "brakes",
            "刹车",
            "responsive:灵敏; reliable:可靠|稳; smooth:顺畅|平顺; quiet:安静",
            "noisy~|loud:吵|刺耳; weak~:弱|软; stiff~:紧|硬; slow~:迟钝|慢",
            plural=True,
        ),
        "seat": _aspect(
            "seat|saddle",
            "座椅|座垫",
            "comfortable:舒服|舒适; soft:柔软|软和; stable:稳固|稳",
            "stiff~|hard:硬|僵硬; narrow~:窄|狭窄; high~:高; wobbly:晃|松动",
        ),
        "light": _aspect(
            "light",
            "灯光|光线",
            "soft|gentle:柔和; bright:明亮|亮; even:均匀; warm:温暖|温馨",
            "dim~:昏暗|暗; harsh~|glaring:刺眼|晃眼; cold~:冷|惨白",
        ),
        "lenses": _aspect(
            "lenses",
            "镜片",
            "clear:清晰|通透; light:轻|轻薄; durable:耐磨|耐用",
            "dark~:暗|深; blurry|fuzzy:模糊; heavy~:重|沉; fragile:脆弱",
            plural=True,
        ),
        "frame": _aspect(
            "frame",
            "镜框|镜架",
            "light:轻|轻巧; sturdy|solid:结实|牢固; comfortable:舒服|舒适; elegant:优雅|雅致",
            "tight~:紧; heavy~:重|沉; fragile|flimsy:脆弱; bulky:笨重",
        ),
        "design": _aspect(
            "design|style",
            "设计|款式",
            "elegant|stylish:优雅|雅致; modern:时尚|现代; simple:简洁|简约; practical:实用; "
            "charming!:迷人",
            "ugly~:难看|丑; clumsy:笨拙|臃肿; dated|outdated:过时|老气; plain:普通",
        ),
        "story": _aspect(
            "story|plot",
            "故事|情节",
            "gripping!|exciting:精彩|吸引人; moving|touching:感人|动人; original|fresh:新颖|别致; "
            "funny:有趣|好笑",
            "boring~|dull:无聊|乏味; predictable~:老套|俗套; slow~:拖沓|缓慢; confusing:混乱|费解",
        ),
        "characters": _aspect(
            "characters",
            "人物|角色",
            "lively:生动|鲜活; believable|convincing:真实|可信; likeable:可爱|讨喜",
            "flat:单薄|扁平; wooden:呆板|死板; annoying~!:讨厌|烦人; forgettable:平庸",
            plural=True,
        ),
        "ending": _aspect(
            "ending",
            "结局|结尾",
            "moving|touching:感人|动人; clever:巧妙|聪明; satisfying:圆满|令人满意; "
            "surprising:出人意料",
            "rushed:仓促|匆忙; predictable~:老套|俗套; disappointing!:令人失望|让人失望",
        ),
        "writing": _aspect(
            "writing|language",
            "文笔|语言",
            "fluent|graceful:流畅|流利; beautiful!:优美; lively:生动|鲜活",
            "clumsy:生硬; wordy~:啰唆|冗长; flat:平淡|单调; difficult~:晦涩|难懂",
        ),
        "lid": _aspect(
            "lid",
            "盖子|壶盖",
            "sturdy|solid:结实|牢固; light:轻|轻巧; handy:顺手|方便",
            "loose~:松|松动; hot~:烫|烫手; stiff~:紧; fragile:脆弱",
        ),
    }


def _product(
    en: str, zh: str, measure: str, verb: tuple[str, str], parts: str, plural: bool = False
) -> Product:
    verbs = {"en": verb[0], "zh": verb[1]}
    table = zipf(_split(parts, ","), exponent=0.7)
    return Product(wording(en, zh), plural, measure, verbs, table)


def products() -> dict[str, Product]:
    """Return the products, the most frequent first."""
    use, wear, put_on = ("using", "用"), ("wearing", "穿"), ("wearing", "戴")
    return {
        "camera": _product(
            "camera", "相机|照相机", "台", use, "pictures, battery, screen, buttons, price"
        ),
        "headphones": _product(
            "headphones", "耳机", "副", use, "sound, ear pads, battery, design, delivery", True
        ),
        "novel": _product(
            "novel|book",
            "小说|书",
            "本",
            ("reading", "读"),
            "story, characters, ending, writing, price",
        ),
        "phone": _product(
            "phone|smartphone", "手机", "部", use, "screen, battery, price, sound, design"
        ),
        "running shoes": _product(
            "running shoes|shoes",
            "跑鞋|运动鞋",
            "双",
            wear,
            "soles, price, design, fabric, delivery",
            True,
        ),
        "jacket": _product(
            "jacket|coat", "外套|夹克", "件", wear, "fabric, design, zips, price, pockets"
        ),
        "laptop": _product(
            "laptop", "笔记本电脑|电脑", "台", use, "keyboard, screen, battery, price, design"
        ),
        "bicycle": _product(
            "bicycle|bike",
            "自行车|单车",
            "辆",
            ("riding", "骑"),
            "brakes, seat, design, instructions, delivery",
        ),
        "backpack": _product(
            "backpack|rucksack", "背包|双肩包", "个", use, "straps, pockets, zips, fabric, price"
        ),
        "sunglasses": _product(
            "sunglasses",
            "墨镜|太阳镜",
            "副",
            put_on,
            "lenses, frame, design, price, packaging",
            True,
        ),
        "vacuum cleaner": _product(
            "vacuum cleaner", "吸尘器", "台", use, "motor, handle, battery, instructions, price"
        ),
        "kettle": _product(
            "kettle", "电水壶|水壶", "把", use, "handle, lid, design, packaging, instructions"
        ),
        "desk lamp": _product(
            "desk lamp|lamp", "台灯", "盏", use, "light, buttons, design, packaging, delivery"
        ),
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
        "bought in a sale": wording(
            "I bought {this} in a sale.|I picked up {this} in a sale.",
            "打折 时 我 买 了 {this} 。|我 趁 打折 买 了 {this} 。",
        ),
        "colleague": wording(
            "A colleague recommended {this}.|^{this} {was} recommended by a colleague.",
            "同事 向 我 推荐 了 {this} 。|{this} 是 同事 推荐 的 。",
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
        "quite": Degree(wording("quite|pretty", "挺|相当|比较"), 0.75),
        "extremely": Degree(wording("extremely|incredibly", "超级|格外"), 2.0),
        "slightly": Degree(wording("a bit|a little", "有点|有些"), 0.5),
        "too": Degree(wording("too|far too", "太|实在 太"), 1.5),
        "not": Degree(wording("not", "不|并不"), -0.5),
        "not very": Degree(wording("not very|not all that", "不太|不怎么"), -0.5),
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
        "worth it": Verdict(+1, 0.5, wording(
            "{this} {is} worth the money|{they} {is} worth every penny",
            "{this} 物有所值|{this} 很 划算",
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
        "regret": Verdict(-1, -1.0, wording(
            "I regret buying {this}|I am sorry that I bought {it}",
            "我 后悔 买 了 {this}|真 后悔 买 了 {this}",
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
            "en": {"": 0.7, "All in all,": 0.18, "Overall,": 0.12},
            "zh": {"": 0.7, "总的来说 ，": 0.18, "总之 ，": 0.12},
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
    favourable = {"buy again": 0.4, "recommend": 0.3, "keep": 0.18, "worth it": 0.12}
    unfavourable = {"not again": 0.4, "send back": 0.26, "regret": 0.2, "avoid": 0.14}
    return Lexicon(
        products=products(),
        aspects=aspects(),
        openings=openings(),
        degrees=degrees(),
        verdicts=verdicts(),
        connectives=connectives(),
        markers=markers(),
        product_table=zipf(products(), exponent=0.7),
        opening_table=zipf(openings(), exponent=0.8),
        frame_table={"plain": 0.66, "although": 0.22, "not only": 0.12},
        tone_table={"+": 0.58, "-": 0.42},
        degree_tables={
            +1: {"plain": 0.32, "not very": 0.12, "very": 0.24, "quite": 0.14,
                 "extremely": 0.1, "not at all": 0.08},
            -1: {"plain": 0.26, "not": 0.08, "slightly": 0.24, "very": 0.16, "too": 0.14,
                 "extremely": 0.07, "not at all": 0.05},
        },
        link_tables={
            +1: {"and": 0.32, "but": 0.36, "none": 0.32},
            -1: {"and": 0.36, "but": 0.32, "none": 0.32},
        },
        verdict_tables={
            (+1, 0): {k: 0.92 * p for k, p in favourable.items()} | {"wait": 0.08},
            (-1, 0): {k: 0.8 * p for k, p in unfavourable.items()} | {"wait": 0.12, "keep": 0.08},
            (+1, +1): favourable,
            (-1, -1): {k: 0.94 * p for k, p in unfavourable.items()} | {"wait": 0.06},
            (+1, -1): {"wait": 0.34, "not again": 0.24, "keep": 0.14, "avoid": 0.12,
                       "buy again": 0.08, "send back": 0.08},
            (-1, +1): {"keep": 0.3, "buy again": 0.24, "wait": 0.2, "worth it": 0.14,
                       "recommend": 0.08, "not again": 0.04},
        },
    )  # fmt: skip
