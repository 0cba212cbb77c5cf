// Small behaviours that htmx does not have, one per data attribute.
"use strict";
