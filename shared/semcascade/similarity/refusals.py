"""Answers that only decline to answer, in the languages that models are asked in most."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["is_refusal"]

REFUSAL_LENGTH = 600
"""A longer answer says something, however it begins."""

_UNABLE = r"(?:not (?:able|allowed|permitted)|unable)"
_CANNOT = (
    rf"(?:can(?:'t|not| not)|could(?:n't| not)|am {_UNABLE}|'m {_UNABLE}|won't|will not)(?: and (?:will not|won't))?"
)
_MEDIA = (
    r"(?:images?|pictures?|photos?|videos?|audio|files?|documents?|attachments?|links?|urls?|internet|web|websites?|"
    r"external|real-time|live)"
)
_DENIED = (
    r"(?:help(?! (?:\w+ing|but|it|myself)\b)|assist|provide|answer|fulfil+|comply|do that|do this|create|generate|"
    r"write|discuss|engage|share|continue|respond|support|complete|process|offer|give(?! up\b)|participate|produce|"
    rf"(?:access|browse|open|view|see) [^.]{{0,30}}?\b{_MEDIA})"
)
_LACKS = rf"(?:{_CANNOT}|do not have|don't have|do not know|don't know|must decline)"
_SORRY = r"(?:i(?:'m| am) (?:very |really |so |truly )?sorry|sorry|my apologies|i apologi[sz]e|unfortunately)"
_MODEL = r"(?:an ai|(?:an? )?(?:large )?language model)"
_ENGLISH = (
    rf"{_SORRY}[,.;: ]+(?:but |that )?(?:as an ai[^.]{{0,60}}?, ?)?i ?{_CANNOT}\b",
    rf"{_SORRY}[,.;: ]+(?:but )?i (?:(?:do not|don't) (?:have|know)|have to decline|must decline)\b",
    rf"(?:i(?:'m| am) afraid (?:that )?)?i ?{_CANNOT}(?: to)? {_DENIED}\b",
    rf"as an? (?:ai|artificial intelligence|assistant|(?:large )?language model)\b[^.]{{0,80}}?,? i ?{_LACKS}\b",
    rf"i(?:'m| am) (?:just |only )?{_MODEL}\b[^.]{{0,80}}?\b(?:can't|cannot|unable|not able|do not have|don't have)\b",
    r"i (?:must|have to) (?:respectfully )?(?:decline|refuse)\b",
    r"i(?:'d| would) (?:rather|prefer) not(?: to)? (?:answer|discuss|say|share|comment)\b",
    r"it would (?:not be appropriate|be inappropriate|be unethical) for me to\b",
    (
        r"(?:this|that|your) (?:request|question|prompt)\b[^.]{0,40}?\b(?:violates|goes against|is against)\b"
        r"[^.]{0,30}?\b(?:guidelines?|polic(?:y|ies)|rules?)\b"
    ),
)
_OTHERS = (
    r"(?:es tut mir leid|tut mir leid|entschuldigung|leider)\b[^.]{0,30}?\bkann ich\b[^.]{0,80}?\bnicht\b",
    r"(?:es tut mir leid|tut mir leid)[, ]+(?:aber )?ich kann\b[^.]{0,80}?\bnicht\b",
    (
        r"[^.]{0,40}?\b(?:kann ich|ich kann|darf ich|ich darf)\b[^.]{0,60}?\bnicht (?:weiter)?"
        r"(?:helfen|antworten|beantworten|unterstützen|bereitstellen|nachkommen)\b"
    ),
    r"(?:je suis |)(?:désolée?|navrée?)\b[^.]{0,30}?\bje ne (?:peux|suis|sais) pas\b",
    (
        r"je ne (?:peux|saurais|suis) pas (?:en mesure de |autorisée? à )?(?:vous |t')?"
        r"(?:aider|répondre|fournir|assister|donner|accéder|satisfaire)\b"
    ),
    r"(?:lo siento|lo lamento|disculpa)\b[^.]{0,30}?\bno (?:puedo|estoy)\b",
    r"no puedo (?:ayudar|responder|contestar|proporcionar|cumplir|ofrecer|acceder)",
    r"(?:mi dispiace|spiacente)\b[^.]{0,30}?\bnon (?:posso|sono in grado)\b",
    r"non posso (?:aiutar|rispond|forni|assister|soddisfare)",
    r"(?:desculpe|sinto muito|lamento)\b[^.]{0,30}?\bnão (?:posso|consigo)\b",
    r"não (?:posso|consigo) (?:ajudar|responder|fornecer|atender|acessar)",
    r"(?:het spijt me|sorry)\b[^.]{0,30}?\bik kan\b[^.]{0,80}?\bniet\b",
    r"(?:tyvärr|förlåt|jag är ledsen)\b[^.]{0,30}?\bkan (?:jag )?inte\b",
    r"(?:przykro mi|przepraszam)\b[^.]{0,30}?\bnie mogę\b",
    r"(?:üzgünüm|maalesef)\b[^.]{0,80}?\w(?:amam|emem|amıyorum|emiyorum)\b",
    r"(?:извините|простите|к сожалению)\b[^.]{0,30}?\bя не могу\b",
    r"я не (?:могу|можу) (?:помочь|помогать|ответить|отвечать|предоставить|выполнить|допомогти|відповісти|надати)\b",
    r"(?:很?抱歉|对不起|對不起|不好意思)[^。]{0,12}?(?:无法|不能|無法|没办法)",
    r"(?:作为|作為)[^。]{0,20}?(?:ai|人工智能|语言模型|語言模型)[^。]{0,12}?(?:无法|不能|無法)",
    r"我(?:无法|不能|無法|没办法)(?:[为為](?:您|你))?(?:直接)?(?:回答|提供|[协協]助|[帮幫]助|[满滿]足|[讨討][论論])",
    r"(?:申し訳(?:ありません|ございません)|すみません|ごめんなさい)[^。]{0,40}?(?:できません|できかねます|お答えできません)",
    r"[^。]{0,40}?(?:お答え|回答|お手伝い|提供|対応)(?:すること)?[はが]?(?:でき(?:ません|かねます)|いたしかねます)",
    r"(?:죄송합니다|죄송하지만)[., ]*[^.]{0,40}?수 없",
    r"(?:عذرا|للأسف|(?:أنا )?آسفة?|أعتذر)[^.]{0,30}?(?:لا أستطيع|لا يمكنني|لن أتمكن)",
    r"(?:أنا )?(?:لا أستطيع|لا يمكنني) (?:مساعدت|المساعدة|الإجابة|تقديم|تلبية)",
    r"(?:אני )?(?:מצטערת?|סליחה)[^.]{0,30}?(?:לא יכולה?|אין באפשרותי)",
    r"אני לא יכולה? (?:לעזור|לענות|לספק|לסייע)",
    r"(?:क्षमा करें|माफ़? ?की?जिए|मुझे खेद है)[^।]{0,60}?नहीं (?:कर|दे|बता) सक",
)
_REFUSALS = re.compile("|".join((*_ENGLISH, *_OTHERS)))
_LACKING = re.compile(
    r"i (?:do not|don't) have (?:access to|real-time|enough (?:information|context|data)|"
    r"(?:any )?(?:specific )?(?:information|data|knowledge) (?:about|on|regarding))\b"
)
_ABSTAINS = re.compile(
    r"(?:(?:sorry|i'm sorry)[, ]+(?:but )?)?i (?:do not|don't) (?:really )?know(?: the answer(?: to (?:that|this)"
    r"(?: question)?)?)?|i(?:'m| am) not (?:really )?sure|ich weiß (?:es|das)? ?nicht|je ne sais pas|"
    r"no lo sé|我不知道|わかりません|لا أعرف|אני לא יודעת?"
)
_YET = re.compile(r"\b(?:but|however|though|as of|based on)\b")
_NEVERTHELESS = re.compile(
    r"\b(?:however|nevertheless|that said|instead|but here|here (?:is|are)|here's|based on|"
    r"in general|generally)\b|```|^\s*(?:[-*]|\d+\.)\s",
    re.MULTILINE,
)
_VOWEL_SIGNS = range(0x64B, 0x653)


def is_refusal(text: str) -> bool:
    """Say whether an answer only declines to answer. Doubtful ones count as answers.

    >>> is_refusal("As an AI language model, I don't have access to live data.")
    True
    >>> is_refusal("I'm sorry to hear that. Here are three things that help: ...")
    False
    """
    if len(text.strip()) >= REFUSAL_LENGTH:
        return False
    opening = _plain(text)
    if _ABSTAINS.fullmatch(opening.rstrip(" .!。*_\"'")):
        return True
    if _LACKING.match(opening):
        return not _YET.search(opening)
    if not _REFUSALS.match(opening):
        return False
    # What follows the refusal's own sentence may still be an answer.
    rest = re.split(r"[.!。]\s*|[,;:] (?=but|however)|\n", opening, maxsplit=1)[1:]
    more = rest[0] if rest else ""
    return not (len(more) > 120 and _NEVERTHELESS.search(more))


def _plain(text: str) -> str:
    """Drop what the same refusal may be written with or without: case, markup, direction marks, Arabic vowel signs."""
    plain = text.strip().replace("’", "'").lower()
    if not plain.isascii():
        plain = "".join(c for c in plain if unicodedata.category(c) != "Cf" and ord(c) not in _VOWEL_SIGNS)
    plain = plain.lstrip("*_#> ")
    # What begins with a quotation and goes on behind it names the quotation.
    return plain.strip("\"' ") if plain[:1] == plain[-1:] else plain
