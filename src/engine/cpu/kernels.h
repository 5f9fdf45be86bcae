/* The functions behind the table of one instruction set (see isa.h): names end with it. */
#ifndef QL_ENGINE_CPU_KERNELS_H
#define QL_ENGINE_CPU_KERNELS_H

#include "engine/cpu/isa.h"

#define ql_sdf_chunk_forward QL_ISA_NAME(ql_sdf_chunk_forward)
#define ql_sdf_chunk_backward QL_ISA_NAME(ql_sdf_chunk_backward)
#define ql_angle_chunk_forward QL_ISA_NAME(ql_angle_chunk_forward)
#define ql_angle_chunk_backward QL_ISA_NAME(ql_angle_chunk_backward)
#define ql_cpu_isa_table QL_ISA_NAME(ql_cpu_isa_table)

void ql_sdf_chunk_forward(const ql_sdf_model *model, ql_sdf_work *work);
void ql_sdf_chunk_backward(const ql_sdf_model *model, ql_sdf_work *work, float *gradient);
void ql_angle_chunk_forward(const ql_angle_model *model, const ql_angle_slots *slots, ql_angle_work *work,
                            float *record, const float *input, int32_t rows, float *theta);
void ql_angle_chunk_backward(const ql_angle_model *model, const ql_angle_slots *slots, ql_angle_work *work,
                             float *record, const float *input, int32_t rows, const float *theta_adjoint,
                             float *gradient);

extern const ql_cpu_isa ql_cpu_isa_table;

#endif
