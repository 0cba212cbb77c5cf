"""Where a word begins and ends, also where nobody writes spaces between them."""

import re

# In Japanese and Chinese a word may end where the script changes: Chinese characters with up to two
# kana that inflect them, hiragana, katakana. Elsewhere it is what spaces and marks leave between
# them.
_KANJI, _HIRAGANA, _KATAKANA = "\u4e00-\u9fff\u3005", "\u3041-\u309f", "\u30a0-\u30ff\u31f0-\u31ff"
_OTHER = rf"[^\W{_KANJI}{_HIRAGANA}{_KATAKANA}]"
WORD = re.compile(
    rf"[{_KANJI}]+[{_HIRAGANA}]{{0,2}}|[{_HIRAGANA}]+|[{_KATAKANA}]+|{_OTHER}+(?:['’-]{_OTHER}+)*"
)
# The same, or a mark that says something: "!", "?", an emoji
WORD_OR_MARK = re.compile(rf"{WORD.pattern}|[^\w\s]")
