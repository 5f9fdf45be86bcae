/* Between skeleton.c and skeleton_build.c only: reading the bytes of a skeleton. */
#ifndef QL_STORE_SKELETON_BYTES_H
#define QL_STORE_SKELETON_BYTES_H

enum { QL_SKELETON_SCALAR = 255 };

#endif
