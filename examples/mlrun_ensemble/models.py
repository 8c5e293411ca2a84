"""Three judges of whether a message is spam, each by another sign."""

from typing import Any

from mlrun.serving import V2ModelServer


class _Judge(V2ModelServer):
    def load(self) -> None:
        """There is nothing to load."""

    def is_spam(self, text: str) -> bool:
        raise NotImplementedError

    def predict(self, request: dict[str, Any]) -> list[int]:
        return [int(self.is_spam(text)) for text in request["inputs"]]


class Words(_Judge):
    def is_spam(self, text: str) -> bool:
        return any(word in text.lower() for word in ("winner", "prize", "free"))


class Shouting(_Judge):
    def is_spam(self, text: str) -> bool:
        letters = [letter for letter in text if letter.isalpha()]
        return sum(letter.isupper() for letter in letters) * 2 > len(letters)


class Marks(_Judge):
    def is_spam(self, text: str) -> bool:
        return text.count("!") >= int(self.get_param("limit", 2))
