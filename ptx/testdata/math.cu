#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <math.h>
__constant__ float tab[4]={1,2,3,4};
__device__ int counter;
struct P{int a; float b[3]; long long c;};
extern "C" __global__ void maths(const float*x, float*y, long long n, double scale){
 int i=blockIdx.x*blockDim.x+threadIdx.x; if(i>=n) return;
 float v=x[i]; float*o=y+i*24;
 o[0]=expf(v);o[1]=logf(v);o[2]=tanhf(v);o[3]=erff(v);o[4]=sqrtf(v);o[5]=v/(float)scale;o[6]=sinf(v);o[7]=cosf(v);
 o[8]=rsqrtf(v);o[9]=powf(v,0.37f);o[10]=exp2f(v);o[11]=log2f(v);o[12]=floorf(v);o[13]=roundf(v);o[14]=rintf(v);o[15]=fmodf(v,3.f);
 o[16]=fmaxf(v,tab[i&3]);o[17]=__expf(v);o[18]=__fdividef(v,3.f);o[19]=erfcf(v);o[20]=log1pf(v);o[21]=expm1f(v);o[22]=cbrtf(v);o[23]=1.f/v;
}
extern "C" __global__ void halfs(const __half*x, __nv_bfloat16*y, float*z,int*c,struct P p){
 int i=threadIdx.x; float f=__half2float(x[i]); y[i]=__float2bfloat16(f*p.b[1]+p.a); z[i]=__bfloat162float(y[i])+__half2float(__hfma(x[i],x[i],__float2half(1.f)))+(double)p.c;
 __half2 h=((const __half2*)x)[i]; h=__hmul2(h,h); h=__hadd2(h,h); h=__hmax2(h,h); z[i+64]=__low2float(h);
 atomicAdd(c,1); atomicAdd(&counter,2); atomicMax(c+1,i); atomicCAS(c+2,0,i); atomicAdd(z,1.f); atomicExch(c+3,4);
 c[4+i]=__popc(i)+__clz(i)+__brev(i)+__ffs(i)+__byte_perm(i,i*3,0x1234)+__dp4a(i,i,3)+__funnelshift_l(i,i,5)+(i/7)+(i%13)+min(i,3)+abs(i-5)+__mulhi(i,123456789);
 long long q=i; c[100+i]=(int)(q*q/ (p.c+1))+ (int)(q % (p.c+2));
 unsigned m=__ballot_sync(~0u,i&1); int s=__shfl_xor_sync(~0u,i,3)+__shfl_down_sync(~0u,i,2)+__shfl_up_sync(~0u,i,2,8)+__shfl_sync(~0u,i,5); c[200+i]=m+s+__any_sync(~0u,i==3)+__all_sync(~0u,i<64)+__activemask()+__reduce_add_sync(~0u,i)+__match_any_sync(~0u,i&3);
}
__device__ __noinline__ float ff(float a,float b){ return a*b+sinf(b);} 
extern "C" __global__ void callk(float*x){x[threadIdx.x]=ff(x[threadIdx.x],2.f);}
