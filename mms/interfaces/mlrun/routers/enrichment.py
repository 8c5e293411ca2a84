"""Routers that put features in the place of the keys that clients send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.model.request_body import parse_body
from mms.interfaces.mlrun.routers.feature_lookup import FeatureLookup, enriched, lookup_of
from mms.interfaces.mlrun.routers.routers import BaseModelRouter, ModelRouter
from mms.interfaces.mlrun.routers.voting import VotingEnsemble


class _Enriching(BaseModelRouter):
    """`preprocess` of the routers below, before routes see the body."""

    feature_vector_uri = ""
    impute_policy: Mapping[str, Any]
    lookup: Any = None
    _found: FeatureLookup | None = None

    def _set_lookup(
        self, feature_vector_uri: str, impute_policy: Mapping[str, Any] | None, lookup: Any
    ) -> None:
        self.feature_vector_uri = feature_vector_uri
        self.impute_policy = impute_policy or {}
        self.lookup = lookup

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        super().post_init(mode)
        self._find_lookup()

    def preprocess(self, event: Any) -> Any:
        if event.method == "GET" or not event.body:
            return event
        body = event.body
        if not isinstance(body, dict):
            body = event.body = parse_body(
                event, protocol=self.protocol, takes_data_url=self._option("data_url")
            )
        inputs = body.get(self.inputs_key) if isinstance(body, dict) else None
        if isinstance(inputs, list):
            rows = enriched(inputs, self._find_lookup(), self.impute_policy)
            event.body = {**body, self.inputs_key: rows}
        return event

    def _find_lookup(self) -> FeatureLookup:
        """The lookup of the class argument, else what the context finds for the feature vector."""
        if self._found is None:
            described = self.lookup
            if isinstance(described, str) and "://" not in described:
                described = self._named(described)
            if described is None:
                find = getattr(self.context, "get_feature_lookup", None)
                described = None if find is None else find(self.feature_vector_uri)
            if described is None:
                raise MLRunInvalidArgumentError(
                    f"{type(self).__name__} needs lookup=, where features come from: an http(s) address, "
                    f"a dict with rows and keys, or a function; this server does not know the feature vector "
                    f"{self.feature_vector_uri!r}"
                )
            self._found = lookup_of(described, self.feature_vector_uri)
        return self._found

    def _named(self, name: str) -> Any:
        """The function or object of a dotted name, from the one who configures the server."""
        import importlib

        module, _, member = name.replace(":", ".").rpartition(".")
        try:
            return getattr(importlib.import_module(module), member)
        except (ImportError, AttributeError, ValueError) as error:
            raise MLRunInvalidArgumentError(f"lookup {name} was not found: {error}") from error


class EnrichmentModelRouter(_Enriching, ModelRouter):
    """A ModelRouter whose clients send keys, for which a lookup has the features."""

    _CLASS_NAME = "mlrun.serving.EnrichmentModelRouter"

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        routes: dict[str, Any] | None = None,
        protocol: str | None = None,
        url_prefix: str | None = None,
        health_prefix: str | None = None,
        feature_vector_uri: str = "",
        impute_policy: Mapping[str, Any] | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        lookup: Any = None,
        **kwargs: Any,
    ) -> None:
        """`lookup`: see `feature_lookup.lookup_of`; text without `://` is the dotted name of a function or object."""
        super().__init__(
            context,
            name,
            routes,
            protocol,
            url_prefix,
            health_prefix,
            input_path,
            result_path,
            **kwargs,
        )
        self._set_lookup(feature_vector_uri, impute_policy, lookup)


class EnrichmentVotingEnsemble(_Enriching, VotingEnsemble):
    """A VotingEnsemble whose clients send keys, for which a lookup has the features."""

    _CLASS_NAME = "mlrun.serving.EnrichmentVotingEnsemble"

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        routes: dict[str, Any] | None = None,
        protocol: str | None = None,
        url_prefix: str | None = None,
        health_prefix: str | None = None,
        vote_type: str | None = None,
        executor_type: str = "thread",
        prediction_col_name: str = "prediction",
        feature_vector_uri: str = "",
        impute_policy: Mapping[str, Any] | None = None,
        input_path: str | None = None,
        result_path: str | None = None,
        lookup: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            context,
            name,
            routes,
            protocol,
            url_prefix,
            health_prefix,
            vote_type=vote_type,
            executor_type=executor_type,
            prediction_col_name=prediction_col_name,
            input_path=input_path,
            result_path=result_path,
            **kwargs,
        )
        self._set_lookup(feature_vector_uri, impute_policy, lookup)
