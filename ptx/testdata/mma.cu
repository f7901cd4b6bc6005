#include <cuda_fp16.h>
#include <cuda_pipeline.h>
extern "C" __global__ void hm(const __half*A,const __half*B,float*C){
 extern __shared__ __half sm[]; int t=threadIdx.x;
 __shared__ __align__(16) __half As[16*16];
 unsigned sa=(unsigned)__cvta_generic_to_shared(As)+ t*16;
 asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n"::"r"(sa),"l"(A+t*8));
 asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n"::"r"((unsigned)__cvta_generic_to_shared(sm)+t*4),"l"(B+t*2),"r"(2));
 asm volatile("cp.async.commit_group;\n");
 __pipeline_memcpy_async(sm+1024+t*8,B+t*8,16); __pipeline_commit(); __pipeline_wait_prior(0);
 asm volatile("cp.async.wait_group 0;\n"); __syncthreads();
 unsigned a0,a1,a2,a3,b0=t,b1=t*2; float c[4]={0,0,0,0};
 unsigned ad=(unsigned)__cvta_generic_to_shared(As)+(t&15)*32+(t>>4)*16;
 asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n":"=r"(a0),"=r"(a1),"=r"(a2),"=r"(a3):"r"(ad));
 asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared::cta.b16 {%0,%1}, [%2];\n":"=r"(b0),"=r"(b1):"r"(ad));
 asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n":"+f"(c[0]),"+f"(c[1]),"+f"(c[2]),"+f"(c[3]):"r"(a0),"r"(a1),"r"(a2),"r"(a3),"r"(b0),"r"(b1));
 for(int i=0;i<4;i++)C[t*4+i]=c[i];
}
