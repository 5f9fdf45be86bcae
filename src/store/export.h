/* Results in the formats of other programs. */
#ifndef QL_STORE_EXPORT_H
#define QL_STORE_EXPORT_H

#include "store/result.h"

typedef enum ql_export_what { QL_EXPORT_FIELD, QL_EXPORT_QUADS, QL_EXPORT_MESH } ql_export_what;
typedef enum ql_export_format {
    QL_EXPORT_TXT,    /* field: a line per face, alpha xyz beta xyz */
    QL_EXPORT_ROSY,   /* field: number of faces, 4, then a direction per face */
    QL_EXPORT_OBJ,    /* field: the mesh and a cross of two lines per face; quads, mesh: as they are */
    QL_EXPORT_PLY,    /* quads, mesh: binary, doubles */
    QL_EXPORT_OFF,    /* mesh */
    QL_EXPORT_VTKHDF, /* field: for ParaView */
    QL_EXPORT_FORMAT_COUNT
} ql_export_format;

const char *ql_export_ending(ql_export_format format); /* "txt" */

/* USAGE when this cannot be had in this format; the text says which ones there are. */
ql_status ql_export_check(ql_export_what what, ql_export_format format);

/* *missing: the result has no such thing (no quads, no field); nothing is written then. */
ql_status ql_export_result(const char *path, const char *result_path, ql_export_what what, ql_export_format format,
                           bool *missing);

/* A quad mesh as OBJ or PLY, atomically. */
ql_status ql_export_quads(const char *path, const ql_quad_result *quads, ql_export_format format);

#endif
