/* Local defects of a quad mesh that is good everywhere else: edges of three quads, edges that two quads run along the same way,
 * vertices of several fans. The quads round them are taken out, and what is left open is filled like an even polygon (fill.h). */
#ifndef QL_QUAD_MEND_H
#define QL_QUAD_MEND_H

#include "quad/polish.h"

/* Leaves the quads as they are where the defects are too many, or the hole round them is no simple ring. *mended counts rings.
 * Whether the surface is still the same has to be verified. */
ql_status ql_quads_mend(ql_quads *quads, int32_t *mended);

#endif
