"""The models of the model store by name: which there are, loading them anew, and unloading them."""

from mms.serving.stored.catalog import Catalog
from mms.serving.stored.stored_models import BoundsOf, ModelState, StoredModels

__all__ = ["BoundsOf", "Catalog", "ModelState", "StoredModels"]
