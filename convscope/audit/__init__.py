"""A run in; out comes whether its explanations are right, faithful and about the network, as values and as a page."""

from convscope.audit.audit import IMAGES, Audit, MethodAudit, audit
from convscope.audit.not_checked import not_checked
from convscope.audit.oracle import Oracle
from convscope.audit.page import render_audit

__all__ = ["IMAGES", "Audit", "MethodAudit", "Oracle", "audit", "not_checked", "render_audit"]
