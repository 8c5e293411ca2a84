"""Where a server may depart from what MLRun does, and does not unless it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mms.text.brief import brief

if TYPE_CHECKING:
    from mms.interfaces.mlrun.files.data_urls import DataUrls

#: As MLRun's setting mock_nuclio_deployment: `1` (all functions), `auto` (those that are not deployed yet).
MOCK_VARIABLE = "MLRUN_MOCK_NUCLIO_DEPLOYMENT"
#: What becomes of numbers that JSON cannot write.
NAN_POLICIES = ("null", "keep", "error")


class ServingOptions:
    """Switches of one server, the same for all that it holds."""

    __slots__ = ("body_operation", "data_url", "event_headers", "nan_policy", "strict_status")

    def __init__(
        self,
        *,
        strict_status: bool = False,
        nan_policy: str = "null",
        data_url: bool | DataUrls = False,
        body_operation: bool = False,
        event_headers: bool = False,
    ) -> None:
        """`strict_status`: statuses that say what is wrong, in place of 400.

        `nan_policy`: NaN and infinities become null, stay (which is no JSON), or are an error.
        `data_url`: bodies may name a file or address that the server reads in their place: any, or by rules.
        `body_operation`: a body's operation is taken before that of the URL.
        `event_headers`: the header MLRUN-EVENT-PATH leads a request elsewhere.
        """
        if nan_policy not in NAN_POLICIES:
            raise ValueError(
                f"nan_policy is {brief(nan_policy)}, but must be one of {', '.join(NAN_POLICIES)}"
            )
        self.strict_status = strict_status
        self.nan_policy = nan_policy
        self.data_url = data_url
        self.body_operation = body_operation
        self.event_headers = event_headers

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"ServingOptions({', '.join(values)})"


#: As MLRun answers, without its ways to read and route by what a client says.
DEFAULT_OPTIONS = ServingOptions()
