"""The interface of MMS 0.x: a service that derives from `SingleNodeService`."""
